/*
 * Call: one request of a service's operation, between the front door and the handler that answers
 * it.
 *
 * By the time a handler sees it, the caller is known and allowed, and `input` has been checked by
 * the published model: required members are there, types, enumerations, patterns and ranges hold.
 * No handler knows which protocol (Query, JSON 1.0 and 1.1, CBOR) its answer leaves by.
 *
 * In `input` and in the answer, structures and maps are objects with the model's member names
 * ("DBClusterIdentifier"), lists are arrays, timestamps are real numbers, seconds since the epoch,
 * blobs are base64 text.  What is not in an answer, or is JSON null, is left out of what is sent.
 */
#pragma once

#include "aws/model.h"
#include "base/cleanup.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define AWS_ACCOUNT_SIZE 13 /* 12 digits */
#define AWS_REGION_SIZE 64
#define AWS_ARN_SIZE 2048
#define AWS_REQUEST_ID_SIZE 37

struct principal; /* identity/ */
struct aws_filter;

/* Who asks. */
struct aws_caller {
	char account[AWS_ACCOUNT_SIZE];
	char arn[AWS_ARN_SIZE]; /* "arn:aws:iam::ACCOUNT:root", ...:user/ana,
				   arn:aws:sts::...:assumed-role/R/SESSION */
	char user_id[256];      /* the account for root, "AIDA...", "AROA...:SESSION" */
	char access_key_id[129];
	struct principal *principal; /* identity's own; counted there */
};

/* The answer when it is none: a code of the service's, its words, an HTTP status. */
struct aws_fault {
	char code[128]; /* "DBClusterNotFoundFault"; "" while there is none */
	char type[128]; /* what JSON and CBOR call it: "AccessDeniedException" for AccessDenied */
	char message[2048];
	unsigned status;
	bool sender; /* the client's mistake, else ours */
};

struct aws_call {
	enum aws_protocol protocol;
	const struct aws_service *service; /* NULL while not known, as the next */
	const struct aws_operation *operation;
	char request_id[AWS_REQUEST_ID_SIZE];
	char region[AWS_REGION_SIZE];
	int64_t now_us;
	struct aws_caller caller;
	const char *source_ip; /* borrowed, as the next */
	const char *user_agent;
	bool secure;   /* over TLS */
	json_t *input; /* checked; owned, and nobody else's */
	struct aws_fault fault;
};

void aws_call_done(struct aws_call *call);

/*
 * What a handler returns after aws_fault(): the call is answered with the fault.  Any other
 * negative number is a failure of ours, logged, and answered with InternalFailure.
 */
#define AWS_FAULT (-1000)

/*
 * Set the fault; returns AWS_FAULT.  `code` is the name of one of the operation's error shapes in
 * the model
 * ("DBClusterNotFoundFault": sent with the code and the HTTP status that the model gives it), or
 * one of the common ones ("ValidationError", "AccessDenied", "InvalidParameterCombination",
 * "Throttling", ...).
 */
int aws_fault(struct aws_call *call, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for one of the common codes where there is no call (yet). */
int aws_fault_set(struct aws_fault *fault, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * What the call touches, for policies: one ARN or several, each with its tags ({"Key": "Value"};
 * NULL: none, or not known).  A call is allowed when it is allowed for each.
 */
struct aws_touched {
	struct {
		char arn[AWS_ARN_SIZE];
		json_t *tags; /* owned */
	} * items;
	unsigned count, room;
};
void aws_touch(struct aws_touched *touched, json_t *tags /* stolen */, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void aws_touched_done(struct aws_touched *touched);

/* One operation of a service that we answer. */
struct aws_handler {
	const char *operation; /* as in the model */
	/* Answer it: 0 with the caller owning *ret (NULL: an empty answer), AWS_FAULT, -errno. */
	int (*handle)(void *userdata, struct aws_call *call, json_t **ret);
	/* NULL: it touches "*".  May end with a fault (there is no such thing), which is what is
	 * then answered only where the call would be allowed for "*". */
	int (*touch)(void *userdata, struct aws_call *call, struct aws_touched *ret);
	/* It is answered from memory and waits for nobody, so it may be where others' requests
	 * wait for it. */
	bool quick;
	/* Everybody who is known may, whatever the policies say (sts:GetCallerIdentity). */
	bool for_all;
	/* The answer's list is the whole one, to be cut into pages by this member (aws_page());
	 * NULL: there are no pages. */
	const char *mark;
	/* The answer's list is the whole one, of which the call's Filters choose: those that the
	 * operation knows (aws/filters.h).  NULL: its input has no Filters. */
	const struct aws_filter *filters;
};

/* What one layer answers of one service. */
struct aws_answers {
	const char *service;                /* as the model's folder: "rds", "iam", "sts" */
	const struct aws_handler *handlers; /* ends with .operation NULL */
	void *userdata;
};
