/* Managed: the policies that come with us, as arn:aws:iam::aws:policy/NAME. */
#pragma once

#include "identity/store.h"

void managed_add(struct identity *identity);
