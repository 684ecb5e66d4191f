/*
 * Text: times, numbers and bytes as the protocols write them.
 */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

/* Room for a time or a number, with its NUL. */
#define AWS_TEXT_MAX 40

/*
 * ISO 8601, or seconds since the epoch: "2026-11-27T14:00:00.123Z", "...+01:00",
 * "2026-11-27T14:00Z", "2026-11-27", "1795356000.5".  Without a zone it is UTC.  False when it is
 * none, or not within the years 1 to 9999.
 */
bool aws_time_parse(const char *text, double *ret);
/* "2026-11-27T14:00:00.123Z", with `whole` "2026-11-27T14:00:00Z"; returns the length. */
size_t aws_time_format(double seconds, bool whole, char ret[AWS_TEXT_MAX]);

/* The shortest that reads back as the same; NaN and infinities as AWS writes them. */
size_t aws_real_format(double value, char ret[AWS_TEXT_MAX]);

void aws_base64_put(struct buffer *buffer, const void *data, size_t size);
/* Appends the bytes; false (and nothing of use appended) when the text is no base64. */
bool aws_base64_get(const char *text, size_t size, struct buffer *buffer);
