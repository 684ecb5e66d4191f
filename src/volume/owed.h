/*
 * Owed: what growth that is on the tape will take of the disk once it is folded.
 *
 * A few bytes far behind the end of a file are as few on the tape, but a block in the base.  A
 * segment whose growth needs more than the segment gives back when it is dropped owes the rest.
 * Files that are written from their beginning on, and pages, owe nothing.
 *
 * Estimated: what has been folded of a segment that is still there is owed until all of it has
 * been.  No lock of its own.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct volume;

struct owed {
	struct owed_segment {
		uint64_t lsn, bytes; /* which it will take in the base */
	} * segments;                /* that have growth, ascending */
	size_t count, room;
	uint64_t bytes; /* in all */
};

void owed_done(struct owed *owed);
/* Bytes that a write at `offset` takes in a file's base that ends at `end`: new blocks, and pages
 * of their checksums. */
uint64_t owed_by_write(uint64_t end, uint64_t offset, uint64_t size);
/* The record at `lsn`, the newest, will take so many bytes. */
void owed_add(struct volume *v, uint64_t lsn, uint64_t bytes);
/* The base has all that was recorded before its position. */
void owed_forget_folded(struct volume *v);
/* From the head and the base's state; for opening. */
void owed_find(struct volume *v);
