/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* polkit's agent for terminals, which asks for passwords while a call waits. One thread. */

#include "directlunctl/ctl.h"

/* Starts it, once, if somebody is at the terminal whom polkit could ask, and waits until it is
 * registered. Without it polkit says no where it would have asked: nothing else is lost. */
void ctl_agent_open(Ctl *ctl);
void ctl_agent_close(Ctl *ctl);
