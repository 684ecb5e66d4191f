/*
 * Talk: a conversation with a cluster's keeper, for the length of one command.
 *
 * Where no keeper runs, one without a server is started for the command and sent away at its end.
 * See keeper/attend.h.
 *
 * Errors are printed here; callers get an enum ending.
 *
 * Ctrl-C (and SIGTERM, SIGHUP) closes the connection, which cancels what can be cancelled; the
 * state that the cluster is then in is printed.  A second Ctrl-C ends the program at once.
 */
#pragma once

#include "cmd/progress.h"
#include "cmd/say.h"
#include "keeper/attend.h"
#include "keeper/cluster.h"
#include "control/control.h"

/* Of serve, to say that it is there: it is done without one that does not. */
#define TALK_SERVE_TIMEOUT_MS 2000

struct talk {
	const struct typed *typed;
	struct cluster *cluster;
	struct control *control; /* NULL: no keeper runs */
	struct attendance attendance;
	bool told, looks;      /* opened with TALK_TOLD, TALK_LOOKS */
	bool through;          /* what is said passes through serve */
	bool served;           /* the other end is serve itself: see served.h */
	struct owner *owner;   /* the volume is inside of this process: see inside.h */
	const char *cancelled; /* what to say after an interrupt; NULL: the cluster's state */
};

enum talk_flags {
	TALK_ANY = 0,          /* start a keeper without a server where none runs */
	TALK_ONLY_IF_RUNS = 1, /* leave `control` NULL where none runs */
	/* It changes something: where `unspill serve` runs, it passes on what is said, and hears of
	 * it.  What goes on for long speaks to the keeper itself, and does not end with serve. */
	TALK_TOLD = 2,
	/* It only asks how things are, which is answered at once: likewise, and of the keeper
	 * itself when serve does not answer. */
	TALK_LOOKS = 4,
};

/* The cluster that the command's first operand names.  Ending; talk_close() in any case. */
int talk_open(struct talk *ret, const struct typed *typed, enum talk_flags flags);
void talk_close(struct talk *talk);

/* The cluster is known already: it was just made, or just listed.  `cluster` becomes the talk's.
 * Ending. */
int talk_open_cluster(struct talk *ret, const struct typed *typed, struct cluster *cluster,
		      enum talk_flags flags);

/* A keeper that stays has come up: others may use it. */
void talk_unlock(struct talk *talk);

/* Ours is not to be sent away at the end: it has something to do. */
void talk_keep(struct talk *talk);

/* As talk_open() does, for a talk whose cluster is known: by way of serve or not.  -errno;
 * -ENOENT or -ECONNREFUSED when no keeper listens. */
int talk_reach(struct talk *talk, struct problem *why);

/* Connect again, after the keeper was started.  Ending. */
int talk_connect(struct talk *talk);

/*
 * Send `request` (stolen) and wait.  With END_OK the caller owns *ret; otherwise the reason has
 * been printed.  `ret` may be NULL.
 */
int talk_ask(struct talk *talk, json_t *request, json_t **ret);

/* As talk_ask(), and end with -errno and `why` instead of printing; -ETIMEDOUT after `timeout_ms`.
 * Nobody cancels it. */
int talk_ask_quietly(struct talk *talk, json_t *request, int timeout_ms, json_t **ret,
		     struct problem *why);

/* Ctrl-C came. */
bool talk_interrupted(void);
/* From now on Ctrl-C is noticed instead of ending the program. */
void talk_catch_interrupts(void);

/* --- Moments --- */

#define MOMENT_TEXT_MAX 80

/*
 * `text` as a MOMENT of the protocol: a time, mark:NAME or lsn:N.  `*ret_asked_us` is 0 unless it
 * is a time.  `what` is the option, for the message.  Ending.
 */
int moment_parse(const struct typed *typed, const char *what, const char *text, json_t **ret,
		 int64_t *ret_asked_us);

#define TOOK_TEXT_MAX 240

/* "1.77 s: kill 12 ms, rewind 140 ms, start 1.62 s" of a backtrack; steps that there were not are
 * left out.  `inside`: of a volume inside of a program, where the same three are wait, rewind and
 * settle. */
void took_format(const json_t *backtrack, bool inside, char text[TOOK_TEXT_MAX]);

/* "2026-11-22T10:42:17.250123+01:00 (lsn:123456)", or "-" when there is no such moment in it. */
void moment_format(const json_t *moment, bool utc, char text[MOMENT_TEXT_MAX]);
