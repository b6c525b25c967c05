/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CHAP credentials in arguments. Secrets are references; names are borrowed. Loop thread only. */

#include "bus/bus-chap.h"

#include "util/error.h"

bool dl_bus_chap_is_given(const DlBusChap *chap)
{
        return chap->user || chap->secret >= 0 || chap->target_user || chap->target_secret >= 0;
}

bool dl_bus_chap_check(const DlBusChap *chap, GError **error)
{
        const char *problem = NULL;

        if (!chap->user != (chap->secret < 0))
                problem = "a user and a secret must be given together";
        else if (!chap->target_user != (chap->target_secret < 0))
                problem = "a target-user and a target-secret must be given together";
        else if (chap->target_user && !chap->user)
                problem = "a target-user needs a user: there is no mutual CHAP without one-way";
        if (problem)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "%s", problem);
        return !problem;
}

bool dl_bus_chap_load(const DlBusChap *chap, DlChap *ret_chap, GError **error)
{
        g_autoptr(DlSecret) secret = NULL;
        g_autoptr(DlSecret) target_secret = NULL;

        if (chap->secret >= 0) {
                secret = dl_secret_read(chap->secret, error);
                if (!secret)
                        return false;
        }
        if (chap->target_secret >= 0) {
                target_secret = dl_secret_read(chap->target_secret, error);
                if (!target_secret)
                        return false;
        }
        *ret_chap = (DlChap){
                .user = chap->user,
                .secret = g_steal_pointer(&secret),
                .target_user = chap->target_user,
                .target_secret = g_steal_pointer(&target_secret),
        };
        return true;
}

void dl_bus_chap_unload(DlChap *chap)
{
        g_clear_pointer(&chap->secret, dl_secret_unref);
        g_clear_pointer(&chap->target_secret, dl_secret_unref);
}
