/* Answers: what this process says on the control socket of a volume that it has inside. */
#pragma once

#include "control/holding.h"

/* As struct server_options wants it; `arg` is the struct owner. */
void answers_handle(struct connection *connection, const struct request *request, void *arg);
