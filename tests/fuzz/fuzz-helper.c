/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The input is a request to the helper, or the helper's answer: the first byte says which. */

#include "fuzz.h"

#include "helper/node-record.h"
#include "util/error.h"

#include <string.h>

/* Whatever may be acted upon writes its own settings into a record, and no other line. */
static void check_record(const DlHelperRequest *request)
{
        GString *record = dl_node_record(request, NULL, NULL);
        GString *bare = dl_node_record(&(DlHelperRequest){}, NULL, NULL);
        unsigned lines = 0, expected = 0;

        for (const char *p = record->str; *p; p++)
                lines += *p == '\n';
        for (const char *p = bare->str; *p; p++)
                expected += *p == '\n';
        expected += *request->user ? 3 : 0;
        expected += *request->target_user ? 2 : 0;
        g_assert_cmpuint(lines, ==, expected);
        dl_node_record_free(bare);
        dl_node_record_free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        DlHelperRequest request;

        if (size == 0)
                return 0;
        if (data[0] == 'r') {
                g_autoptr(GError) error = dl_helper_reply_error(data + 1, size - 1);

                g_assert_true(!error || error->domain == DL_ERROR);
        } else if (dl_helper_request_parse(data + 1, size - 1, &request)) {
                g_assert_true(dl_helper_request_check(&request));
                g_assert_false(strchr(request.guid, '/') || strstr(request.iqn, ".."));
                if (request.verb == DL_HELPER_LOGIN)
                        check_record(&request);
        }
        return 0;
}
