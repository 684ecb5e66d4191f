/* MariaDB: the facts and steps of its server, behind engine.h; most of them in mysql_family.h. */
#pragma once

#include "engine/engine.h"

extern const struct engine engine_mariadb;
