/*
 * Model: what the published service models say, as one constant table.
 *
 * generate.py makes it at build time from botocore's files (and supplement.json, for what those do
 * not say).  Everything refers to everything by index, and to names by their place in one long
 * text: so there is nothing to relocate, and the pages are shared and dropped as those of any
 * program text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum aws_type {
	AWS_STRUCTURE,
	AWS_LIST,
	AWS_MAP,
	AWS_STRING,
	AWS_BOOLEAN,
	AWS_INTEGER, /* 32 bits */
	AWS_LONG,
	AWS_FLOAT,
	AWS_DOUBLE,
	AWS_TIMESTAMP,
	AWS_BLOB,
};

/* Of shapes */
#define AWS_HAS_MIN 1u
#define AWS_HAS_MAX 2u
#define AWS_FLATTENED 4u     /* a list without an element around its members, in Query and XML */
#define AWS_SENSITIVE 8u     /* is never repeated in a message or a log */
#define AWS_SENDER_FAULT 16u /* an error that is the client's */
/* Of members */
#define AWS_REQUIRED 1u
#define AWS_ATTRIBUTE 2u /* an attribute in XML */

struct aws_member {
	uint32_t name;     /* the model's: "DBClusterIdentifier" */
	uint32_t location; /* what Query and XML call it; most often the same */
	uint16_t shape;
	uint8_t name_size;
	uint8_t location_size;
	uint8_t flags;
};

struct aws_shape {
	int64_t min, max; /* of the number, the text's length, the list's size: see flags */
	uint32_t name;
	uint32_t pattern; /* 0: none */
	/* A structure's members; a list's one member; a map's key and value.  A string with an
	 * enumeration: the first of its values, in aws_values. */
	uint32_t first;
	uint32_t code;   /* of an error: what Query calls it */
	uint32_t slots;  /* of a structure: its hash table in aws_slots */
	uint16_t count;  /* of what begins at `first` */
	uint16_t mask;   /* slots - 1 */
	uint16_t status; /* of an error: HTTP's */
	uint8_t type;
	uint8_t flags;
};

#define AWS_NO_SHAPE 0 /* shape 0 is an empty structure */

struct aws_operation {
	uint32_t name;
	uint32_t errors; /* the first of its errors in aws_errors */
	uint16_t error_count;
	uint16_t service;
	uint16_t input, output; /* shapes */
	/* Pagination: names of members; 0 where the operation has none, or no simple one. */
	uint32_t page_from, page_next, page_limit, page_more, page_result;
	uint32_t token; /* the input's member that is an idempotency token; 0: it has none */
};

/* How a service says that its answer is empty handed, and what it looks like. */
enum aws_protocol { AWS_UNKNOWN_PROTOCOL, AWS_QUERY, AWS_JSON_10, AWS_JSON_11, AWS_CBOR };

/* How a service words what is wrong with a request. */
enum aws_wording {
	AWS_CORAL,      /* "1 validation error detected: Value null at 'userName' ..." */
	AWS_PARAMETERS, /* "The request must contain the parameter DBClusterIdentifier" */
};

struct aws_service {
	uint32_t name;           /* the model's folder: "rds" */
	uint32_t signing_name;   /* in a signature's scope; several services can share one */
	uint32_t version;        /* "2014-10-31" */
	uint32_t target;         /* in X-Amz-Target and in CBOR's path: "AmazonRDSv19" */
	uint32_t xml_namespace;  /* of answers */
	uint32_t json_namespace; /* of "__type": "com.amazonaws.rds" */
	uint32_t operations;     /* the first in aws_operations; ordered by name */
	uint16_t operation_count;
	uint16_t page_min, page_max, page_default; /* where the model does not say */
	uint8_t protocol;                          /* its own */
	uint8_t wording;
};

extern const char aws_text[];
extern const struct aws_shape aws_shapes[];
extern const struct aws_member aws_members[];
extern const uint32_t aws_values[]; /* texts */
extern const uint16_t aws_errors[]; /* shapes */
extern const uint16_t aws_slots[];  /* 0, or 1 + a member's number in its structure */
extern const struct aws_operation aws_operations[];
extern const struct aws_service aws_services[];
extern const unsigned aws_shape_count, aws_operation_count, aws_service_count;

static inline const char *aws_name(uint32_t place)
{
	return aws_text + place;
}

/* The service of that folder; NULL without one. */
const struct aws_service *aws_service_find(const char *name);
const char *aws_service_name(const struct aws_service *service);
/* The service whose target that is: "AmazonRDSv19". */
const struct aws_service *aws_service_find_target(const char *target, size_t size);

/* The operation of that name; NULL without one. */
const struct aws_operation *aws_operation_find(const struct aws_service *service, const char *name,
					       size_t size);
const char *aws_operation_name(const struct aws_operation *operation);
static inline const struct aws_service *aws_operation_service(const struct aws_operation *operation)
{
	return &aws_services[operation->service];
}

/* The member of that name (the model's, in exactly these letters); NULL without one. */
const struct aws_member *aws_member_find(const struct aws_shape *structure, const char *name,
					 size_t size);
/* The same by what Query calls it, or by its name. */
const struct aws_member *aws_member_find_location(const struct aws_shape *structure,
						  const char *name, size_t size);
static inline const struct aws_shape *aws_member_shape(const struct aws_member *member)
{
	return &aws_shapes[member->shape];
}

/* The error of the operation that has this shape's name, or that code; NULL without one. */
const struct aws_shape *aws_operation_error(const struct aws_operation *operation,
					    const char *name);
