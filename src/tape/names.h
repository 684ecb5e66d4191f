/* Names of the tape's files. */
#pragma once

#include "tape/tape.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#define TAPE_FOLDER "tape"
#define TAPE_NAME_MAX 64
/* Held for a full disk (tape.h says how many), and ready to be the next segments. */
#define TAPE_SPARES_TO_RECYCLE 2
#define TAPE_SPARES (TAPE_SPARES_HELD_MAX + TAPE_SPARES_TO_RECYCLE)
/* In the making, until renamed. */
#define TAPE_NEW_NAME TAPE_FOLDER "/new.tmp"
#define TAPE_NEW_INDEX_NAME TAPE_FOLDER "/index.tmp"
#define TAPE_NEW_PACK_NAME TAPE_FOLDER "/pack.tmp"

static inline const char *segment_name(char name[TAPE_NAME_MAX], uint64_t lsn)
{
	snprintf(name, TAPE_NAME_MAX, TAPE_FOLDER "/%016" PRIx64 ".seg", lsn);
	return name;
}
static inline const char *index_name(char name[TAPE_NAME_MAX], uint64_t lsn)
{
	snprintf(name, TAPE_NAME_MAX, TAPE_FOLDER "/%016" PRIx64 ".idx", lsn);
	return name;
}
/* `id`: pack_id(). */
static inline const char *pack_name(char name[TAPE_NAME_MAX], uint64_t id)
{
	snprintf(name, TAPE_NAME_MAX, TAPE_FOLDER "/%016" PRIx64 ".pack", id);
	return name;
}
static inline const char *spare_name(char name[TAPE_NAME_MAX], unsigned i)
{
	snprintf(name, TAPE_NAME_MAX, TAPE_FOLDER "/spare-%u.seg", i);
	return name;
}
