#include "aws/model.h"

#include "base/cleanup.h"

#include <string.h>

static bool is_text(uint32_t place, const char *text, size_t size)
{
	const char *ours = aws_name(place);

	return strlen(ours) == size && memcmp(ours, text, size) == 0;
}

const struct aws_service *aws_service_find(const char *name)
{
	for (unsigned i = 0; i < aws_service_count; i++)
		if (strcmp(aws_name(aws_services[i].name), name) == 0)
			return &aws_services[i];
	return NULL;
}

const char *aws_service_name(const struct aws_service *service)
{
	return aws_name(service->name);
}

const struct aws_service *aws_service_find_target(const char *target, size_t size)
{
	for (unsigned i = 0; i < aws_service_count; i++)
		if (is_text(aws_services[i].target, target, size))
			return &aws_services[i];
	return NULL;
}

const struct aws_operation *aws_operation_find(const struct aws_service *service, const char *name,
					       size_t size)
{
	unsigned low = service->operations, high = low + service->operation_count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		const char *there = aws_name(aws_operations[middle].name);
		size_t there_size = strlen(there);
		int order = memcmp(name, there, MIN(size, there_size));

		if (order == 0 && size == there_size)
			return &aws_operations[middle];
		if (order < 0 || (order == 0 && size < there_size))
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const char *aws_operation_name(const struct aws_operation *operation)
{
	return aws_name(operation->name);
}

/* FNV-1a, as generate.py does it. */
static uint32_t hash_name(const char *name, size_t size)
{
	uint32_t value = 2166136261u;

	for (size_t i = 0; i < size; i++)
		value = (value ^ (uint8_t)name[i]) * 16777619u;
	return value;
}

const struct aws_member *aws_member_find(const struct aws_shape *structure, const char *name,
					 size_t size)
{
	if (!structure->mask)
		return NULL;
	for (uint32_t at = hash_name(name, size) & structure->mask;;
	     at = (at + 1) & structure->mask) {
		uint16_t slot = aws_slots[structure->slots + at];
		const struct aws_member *member = &aws_members[structure->first + slot - 1];

		if (!slot)
			return NULL;
		if (member->name_size == size && memcmp(aws_name(member->name), name, size) == 0)
			return member;
	}
}

const struct aws_member *aws_member_find_location(const struct aws_shape *structure,
						  const char *name, size_t size)
{
	const struct aws_member *found = aws_member_find(structure, name, size);

	for (unsigned i = 0; !found && i < structure->count; i++) {
		const struct aws_member *member = &aws_members[structure->first + i];

		if (member->location != member->name && is_text(member->location, name, size))
			found = member;
	}
	return found;
}

const struct aws_shape *aws_operation_error(const struct aws_operation *operation, const char *name)
{
	for (unsigned i = 0; i < operation->error_count; i++) {
		const struct aws_shape *shape = &aws_shapes[aws_errors[operation->errors + i]];

		if (strcmp(aws_name(shape->name), name) == 0 ||
		    strcmp(aws_name(shape->code), name) == 0)
			return shape;
	}
	return NULL;
}
