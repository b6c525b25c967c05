/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CHAP credentials in arguments. Secrets are references; names are borrowed. Loop thread only. */

#include "bus/bus-chap.h"

#include "bus/bus-secret.h"

bool dl_bus_chap_is_given(const DlBusChap *chap)
{
        return chap->user || chap->secret >= 0 || chap->secret_token || chap->target_user ||
               chap->target_secret >= 0 || chap->target_secret_token;
}

bool dl_bus_chap_check(const DlBusChap *chap, GError **error)
{
        bool has_secret = chap->secret >= 0 || chap->secret_token;
        bool has_target_secret = chap->target_secret >= 0 || chap->target_secret_token;
        const char *problem = NULL;

        if (!chap->user != !has_secret)
                problem = "a user and a secret must be given together";
        else if (!chap->target_user != !has_target_secret)
                problem = "a target-user and a target-secret must be given together";
        else if (chap->target_user && !chap->user)
                problem = "a target-user needs a user: there is no mutual CHAP without one-way";
        else if ((chap->secret >= 0 && chap->secret_token) ||
                 (chap->target_secret >= 0 && chap->target_secret_token))
                problem = "a secret is given by descriptor or by token, not both";
        if (problem)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "%s", problem);
        return !problem;
}

static bool redeem(DlBus *bus, sd_bus_message *call, const char *token, DlSecret **ret,
                   GError **error)
{
        if (token)
                *ret = dl_bus_secret_redeem(bus, sd_bus_message_get_sender(call), token, error);
        return !token || *ret;
}

bool dl_bus_chap_redeem(DlBus *bus, sd_bus_message *call, DlBusChap *chap, GError **error)
{
        return redeem(bus, call, chap->secret_token, &chap->handed_over, error) &&
               redeem(bus, call, chap->target_secret_token, &chap->target_handed_over, error);
}

void dl_bus_chap_clear(DlBusChap *chap)
{
        g_clear_pointer(&chap->handed_over, dl_secret_unref);
        g_clear_pointer(&chap->target_handed_over, dl_secret_unref);
}

static bool load(int fd, DlSecret *handed_over, DlSecret **ret, GError **error)
{
        *ret = fd >= 0 ? dl_secret_read(fd, error) : dl_secret_ref(handed_over);
        return fd < 0 || *ret;
}

bool dl_bus_chap_load(const DlBusChap *chap, DlChap *ret_chap, GError **error)
{
        g_autoptr(DlSecret) secret = NULL;
        g_autoptr(DlSecret) target_secret = NULL;

        if (!load(chap->secret, chap->handed_over, &secret, error) ||
            !load(chap->target_secret, chap->target_handed_over, &target_secret, error))
                return false;
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
