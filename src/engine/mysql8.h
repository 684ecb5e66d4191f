/*
 * MySQL 8: the facts and steps of its server, behind engine.h; most of them in mysql_family.h.
 *
 * Debian has no package of it: what is here is written from its manual, and runs where somebody has
 * installed it.
 */
#pragma once

#include "engine/engine.h"

extern const struct engine engine_mysql;
