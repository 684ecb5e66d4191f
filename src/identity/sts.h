/* STS: who am I, and temporary credentials.  For this folder only. */
#pragma once

#include "aws/call.h"

extern const struct aws_handler sts_handlers[];
