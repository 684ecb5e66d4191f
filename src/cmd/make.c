#include "cmd/make.h"
#include "cmd/inside.h"
#include "cmd/machine.h"
#include "cmd/served.h"
#include "cmd/talk.h"
#include "cmd/window.h"
#include "base/units.h"
#include "keeper/keeper.h"

#include <ctype.h>
#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

struct make {
	const struct typed *typed;
	const char *source; /* NULL: a new database */
	struct cluster_options options;
	const struct engine *engine; /* NULL: inside */
	bool inside;                 /* SQLite: no server, no mount */
	char directory[PATH_MAX], from[PATH_MAX];
	struct progress progress;
};

/* --- Before anything is done
 * ---------------------------------------------------------------------- */

int make_parse_port(const struct typed *typed, int *ret)
{
	const char *text = typed_value(typed, "port");
	char *end;
	long port;

	*ret = 0;
	if (!text)
		return END_OK;
	errno = 0;
	port = strtol(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || port < 1 || port > 65535)
		return fail(typed, END_USAGE,
			    "--port: '%.20s' is not a port; it is a number from 1 to 65535", text);
	*ret = (int)port;
	return END_OK;
}

static int parse_transport(const struct typed *typed, enum transport *ret)
{
	const char *text = typed_value(typed, "transport");

	*ret = TRANSPORT_AUTO;
	if (!text || transport_parse(text, ret))
		return END_OK;
	return fail(typed, END_USAGE,
		    "--transport: there is no '%.20s'; there are auto, classic and io_uring", text);
}

static int parse_server_options(const struct typed *typed)
{
	for (const char *const *option = typed->repeats; *option; option++) {
		if ((*option)[0] == '-' || (*option)[0] == '=')
			return fail(typed, END_USAGE,
				    "--server-option: '%.60s' is not NAME=VALUE, without dashes",
				    *option);
	}
	return END_OK;
}

static bool has_server_options(const struct typed *typed)
{
	return typed_value(typed, "port") || typed_value(typed, "bind") ||
	       typed_value(typed, "transport") || *typed->repeats;
}

void make_absolute(const char *path, char ret[PATH_MAX])
{
	char here[PATH_MAX];

	if (path[0] == '/' || !getcwd(here, sizeof here))
		snprintf(ret, PATH_MAX, "%s", path);
	else
		snprintf(ret, PATH_MAX, "%.*s/%s", PATH_MAX / 2, here, path);
}

static void place(struct make *make)
{
	const char *directory = typed_value(make->typed, "dir");

	if (directory) {
		make_absolute(directory, make->directory);
		make->options.directory = make->directory;
	}
	if (make->source && !realpath(make->source, make->from))
		make_absolute(make->source, make->from);
}

static int parse(struct make *make)
{
	const struct typed *typed = make->typed;
	const char *engine = typed_value(typed, "engine"), *names;
	struct problem why;
	int ending;

	make->options = (struct cluster_options){
		.name = typed->operands[0],
		.engine = engine ? engine : ENGINE_DEFAULT,
		.bind = typed_value(typed, "bind"),
		.server_options = typed->repeats,
	};
	place(make);
	if (cluster_check_name(make->options.name, &why) < 0)
		return fail(typed, END_USAGE, "%s", why.text);
	make->engine = engine_find(make->options.engine, &names);
	make->inside = !strcmp(make->options.engine, CLUSTER_INSIDE);
	if (!make->engine && !make->inside)
		return fail(typed, END_USAGE, "--engine: unknown engine '%.60s'; there is %s, %s",
			    make->options.engine, names, CLUSTER_INSIDE);
	if (make->inside && has_server_options(typed))
		return fail(typed, END_USAGE,
			    "SQLite has no server: --port, --bind, --transport and "
			    "--server-option say nothing to it");
	ending = window_parse(typed, &make->options.window_us);
	if (ending == END_OK)
		ending = make_parse_port(typed, &make->options.port);
	if (ending == END_OK)
		ending = parse_transport(typed, &make->options.transport);
	return ending == END_OK ? parse_server_options(typed) : ending;
}

static int64_t source_bytes;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *where)
{
	if (type == FTW_F)
		source_bytes += (int64_t)st->st_blocks * 512;
	return 0;
}

/* A tenth more than the data for the tape's own, and what a new cluster needs. */
static int64_t needed_bytes(const struct make *make)
{
	source_bytes = 0;
	if (make->source)
		nftw(make->source, add_size, 16, FTW_PHYS);
	return source_bytes + source_bytes / 10 + MACHINE_BYTES_NEW;
}

static int find_directory(const struct make *make, char path[PATH_MAX], struct problem *why)
{
	char home[PATH_MAX];
	int r;

	if (make->options.directory) {
		snprintf(path, PATH_MAX, "%s", make->options.directory);
		return 0;
	}
	r = cluster_home(false, home, why);
	if (r >= 0)
		snprintf(path, PATH_MAX, "%s", home);
	return r;
}

/* What is missing of the machine is nobody's typing error. */
static int machine_ending(int r)
{
	enum ending ending = ending_of_errno(r);

	return ending == END_USAGE || ending == END_NOT_FOUND || ending == END_FAILED ? END_MACHINE
										      : ending;
}

static int check_machine(struct make *make)
{
	char version[128], path[PATH_MAX];
	struct problem why = {""};
	int r;

	r = machine_check_home(&why);
	if (r >= 0 && make->engine)
		r = machine_check_engine(make->engine, version, &why);
	if (r >= 0 && make->engine)
		r = machine_check_mount(&why);
	if (r >= 0 && make->engine)
		r = machine_check_fuse(&why);
	if (r >= 0)
		r = find_directory(make, path, &why);
	if (r >= 0)
		r = machine_check_space(path, needed_bytes(make), &why);
	return r < 0 ? fail(make->typed, machine_ending(r), "%s", why.text) : END_OK;
}

/* The name is free: said before anything about the source or the machine. */
static int check_name(const struct make *make)
{
	struct problem why = {""};
	struct cluster *cluster;
	int r = cluster_find(make->options.name, &cluster, &why);

	if (r == -ENOENT)
		return END_OK;
	if (r < 0)
		return fail(make->typed, END_TAKEN,
			    "a cluster '%s' exists already, and has a problem: %s",
			    make->options.name, why.text);
	fail(make->typed, END_TAKEN, "a cluster '%s' exists already, in %s", cluster->name,
	     cluster->directory);
	cluster_free(cluster);
	return END_TAKEN;
}

static int check_source(const struct make *make)
{
	struct problem why = {""};
	int r;

	if (!make->source)
		return END_OK;
	r = make->inside ? inside_check_source(make->source, &why)
			 : make->engine->inspect(make->source, &why);
	return r < 0 ? fail_why(make->typed, r, &why) : END_OK;
}

/* --- Doing it --------------------------------------------------------------------------------- */

/*
 * Take everything away again.  The keeper may still be at work: it is told to go, and its end is
 * waited for.
 */
void make_take_back(const struct typed *typed, struct progress *progress, struct talk *talk)
{
	struct problem why = {""};
	int r;

	progress_step(progress, "taking back what was made");
	r = keeper_remove(talk->cluster, &why);
	progress_done(progress, r >= 0);
	if (r < 0)
		fail(typed, END_FAILED,
		     "could not take everything away again: %s; 'unspill delete %s' tries once "
		     "more",
		     why.text, talk->cluster->name);
}

static int spawn(struct make *make, struct talk *talk)
{
	const struct keeper_options options = {.guardian = true};
	struct problem why = {""};
	int r;

	progress_step(&make->progress, "starting its keeper");
	r = keeper_spawn(talk->cluster, &options, &why);
	progress_done(&make->progress, r >= 0);
	if (r < 0)
		return fail_why(make->typed, r, &why);
	return talk_connect(talk);
}

static json_t *request_of(const struct make *make)
{
	return make->source ? json_pack("{s:s, s:s}", "do", "import", "from", make->from)
			    : json_pack("{s:s}", "do", "create");
}

static int fill_inside(struct make *make, struct talk *talk)
{
	struct problem why = {""};
	int r = inside_fill(talk->cluster, make->source, &make->progress, &why);

	progress_done(&make->progress, r >= 0);
	return r < 0 ? fail_why(make->typed, r, &why) : END_OK;
}

static int fill(struct make *make, struct talk *talk)
{
	json_t *request = request_of(make);
	int ending;

	if (!request)
		return fail(make->typed, END_USAGE, "--from: the path is not UTF-8");
	ending = spawn(make, talk);
	if (ending != END_OK) {
		json_decref(request);
		return ending;
	}
	return talk_ask(talk, request, NULL);
}

static int report(struct talk *talk, const struct engine *engine)
{
	const struct cluster *cluster = talk->cluster;
	char window[UNITS_TEXT_MAX];
	json_t *status;
	int ending;

	ending = talk_ask(talk, json_pack("{s:s}", "do", "status"), &status);
	if (ending != END_OK)
		return ending;
	json_object_set_new(status, "created_us", json_integer(cluster->created_us));
	if (typed_switch(talk->typed, "json"))
		return print_json(talk->typed, status);
	duration_format(json_number(status, "window.target_us"), window);
	printf("%s%s is running%s: %s on %s:%d, backtrack window %s\n", style(stdout, GREEN),
	       cluster->name, style(stdout, PLAIN), json_text(status, "engine_version"),
	       cluster->bind, cluster->port,
	       json_number(status, "window.target_us") ? window : "off");
	printf("  client       unspill shell %s\n", cluster->name);
	if (engine->secret)
		printf("  password     %s/run/%s\n", cluster->directory, engine->secret);
	printf("  go back      unspill backtrack %s --to '10 minutes ago'\n", cluster->name);
	json_decref(status);
	return END_OK;
}

/* There may be nobody to ask: for the time of the answer, we have it inside. */
static int report_inside(struct talk *talk)
{
	const struct cluster *cluster = talk->cluster;
	char window[UNITS_TEXT_MAX];
	json_t *status;
	int ending = inside_open(talk);

	if (ending == END_OK)
		ending = talk_ask(talk, json_pack("{s:s}", "do", "status"), &status);
	if (ending != END_OK)
		return ending;
	json_object_set_new(status, "created_us", json_integer(cluster->created_us));
	json_object_set_new(status, "state", json_string("closed"));
	if (typed_switch(talk->typed, "json"))
		return print_json(talk->typed, status);
	duration_format(json_number(status, "window.target_us"), window);
	printf("%s%s is made%s: %s, backtrack window %s\n", style(stdout, GREEN), cluster->name,
	       style(stdout, PLAIN), json_text(status, "engine_version"),
	       json_number(status, "window.target_us") ? window : "off");
	printf("  client       unspill shell %s\n", cluster->name);
	printf("  program      .load unspill, then file:%s/%s.db?vfs=unspill\n", cluster->directory,
	       cluster->name);
	printf("  go back      unspill backtrack %s --to '10 minutes ago'\n", cluster->name);
	json_decref(status);
	return END_OK;
}

/* --- By serve --------------------------------------------------------------------------------- */

static bool set_text(json_t *object, const char *key, const char *value)
{
	return !value || json_object_set_new(object, key, json_string(value)) == 0;
}

/* NULL: something in it is not UTF-8. */
static json_t *input_of(const struct make *make)
{
	json_t *input = json_pack("{s:s, s:I, s:i}", "engine", make->options.engine, "window_us",
				  (json_int_t)make->options.window_us, "port", make->options.port);
	json_t *options = json_array();
	bool good = true;

	for (const char *const *one = make->options.server_options; *one; one++)
		good &= json_array_append_new(options, json_string(*one)) == 0;
	json_object_set_new(input, "server_options", options);
	if (good && set_text(input, "directory", make->options.directory) &&
	    set_text(input, "bind", make->options.bind) &&
	    set_text(input, "transport", typed_value(make->typed, "transport")) &&
	    set_text(input, "from", make->source ? make->from : NULL))
		return input;
	json_decref(input);
	return NULL;
}

/* `input` is stolen. */
static int make_served(struct make *make, struct talk *talk, json_t *input)
{
	struct problem why = {""};
	int ending, r;

	talk_catch_interrupts();
	talk->cancelled = "cancelled; taking back what was made";
	ending = served_ask(talk, "create", make->options.name, input, NULL);
	if (ending != END_OK)
		return ending;
	r = cluster_find(make->options.name, &talk->cluster, &why);
	if (r < 0)
		return fail_why(make->typed, r, &why);
	talk->served = false; /* from here on it is the keeper */
	if (talk_interrupted()) {
		/* Too late for serve; not for us. */
		fail(make->typed, END_CANCELLED, "%s", talk->cancelled);
		make_take_back(make->typed, &make->progress, talk);
		return END_CANCELLED;
	}
	ending = talk_connect(talk);
	return ending == END_OK ? report(talk, make->engine) : ending;
}

/* --- Or here ---------------------------------------------------------------------------------- */

static int make_and_fill(struct make *make)
{
	struct problem why = {""};
	struct cluster *cluster;
	struct talk talk;
	int ending, r;

	talk_catch_interrupts();
	progress_step(&make->progress, "making the volume");
	r = cluster_make(&make->options, &cluster, &why);
	progress_done(&make->progress, r >= 0);
	if (r < 0)
		return fail_why(make->typed, r, &why);
	talk = (struct talk){.typed = make->typed,
			     .cluster = cluster,
			     .cancelled = "cancelled; taking back what was made"};
	ending = make->inside ? fill_inside(make, &talk) : fill(make, &talk);
	if (ending == END_OK && talk_interrupted())
		ending = fail(make->typed, END_CANCELLED, "%s", talk.cancelled);
	if (ending == END_OK)
		ending = make->inside ? report_inside(&talk) : report(&talk, make->engine);
	else
		make_take_back(make->typed, &make->progress, &talk);
	talk_close(&talk);
	return ending;
}

int make_cluster(const struct typed *typed, const char *source)
{
	struct make make = {.typed = typed, .source = source};
	struct talk talk = {0};
	json_t *input = NULL;
	int ending;

	progress_init(&make.progress, typed_switch(typed, "json"));
	ending = parse(&make);
	if (ending == END_OK)
		ending = check_name(&make);
	if (ending == END_OK)
		ending = check_source(&make);
	if (ending == END_OK)
		ending = check_machine(&make);
	if (ending != END_OK)
		return ending;
	/* SQLite's are made by whoever has them inside, in no time. */
	if (!make.inside)
		input = input_of(&make);
	if (input && served_open(&talk, typed))
		ending = make_served(&make, &talk, json_incref(input));
	else
		ending = make_and_fill(&make);
	json_decref(input);
	talk_close(&talk);
	return ending;
}
