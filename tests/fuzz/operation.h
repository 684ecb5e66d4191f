/* The first line of an input names an operation ("rds.CreateDBCluster"); the rest is for it. */
#pragma once

#include "aws/model.h"

#include <string.h>

static const struct aws_operation *operation_of(const uint8_t **data, size_t *size)
{
	const uint8_t *end = memchr(*data, '\n', *size), *dot;
	const struct aws_operation *operation = NULL;
	size_t line = end ? (size_t)(end - *data) : 0;

	dot = line ? memchr(*data, '.', line) : NULL;
	for (unsigned i = 0; dot && !operation && i < aws_service_count; i++) {
		const char *name = aws_service_name(&aws_services[i]);

		if (strlen(name) == (size_t)(dot - *data) && memcmp(name, *data, strlen(name)) == 0)
			operation = aws_operation_find(&aws_services[i], (const char *)dot + 1,
						       (size_t)(end - dot) - 1);
	}
	if (operation) {
		*data += line + 1;
		*size -= line + 1;
	}
	return operation;
}
