/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of this folder share. Any thread. */

#include "content/content.h"

DlContent *dl_content_new(void); /* nothing was recognised */
