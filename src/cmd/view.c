/* unspill view, views, unview */
#include "cmd/view.h"
#include "cmd/commands.h"
#include "cmd/inside.h"
#include "cmd/inside_view.h"
#include "cmd/talk.h"
#include "base/timetext.h"
#include "keeper/viewer.h"
#include "keeper/views.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_TIMEOUT_MS 5000

/* --- view ------------------------------------------------------------------------------------- */

/* The directory, absolute and without symbolic links: the keeper lives elsewhere. */
static int find_directory(const struct typed *typed, const char *text, char path[PATH_MAX])
{
	if (realpath(text, path))
		return END_OK;
	if (errno == ENOENT)
		return fail(typed, END_NOT_FOUND, "there is no directory '%s'; make it first",
			    text);
	return fail(typed, END_FAILED, "'%s': %s", text, strerror(errno));
}

static void print_shown(const struct typed *typed, const json_t *view)
{
	char moment[MOMENT_TEXT_MAX];

	moment_format(json_at(view, "moment"), typed_switch(typed, "utc"), moment);
	printf("%s shows %s\n", json_text(view, "directory"), moment);
	note("It can only be read%s: 'unspill unview %s' ends it.",
	     inside_is(typed) ? "" : ", and holds history", json_text(view, "directory"));
}

int view_print(const struct typed *typed, json_t *view)
{
	if (typed_switch(typed, "json"))
		return print_json(typed, view);
	print_shown(typed, view);
	json_decref(view);
	return END_OK;
}

static int open_view(struct talk *talk, json_t *request)
{
	json_t *result;
	int ending;

	talk_catch_interrupts();
	talk->cancelled = "cancelled; nothing is shown";
	ending = talk_ask(talk, request, &result);
	if (ending != END_OK)
		return ending;
	talk_keep(talk);
	return view_print(talk->typed, result);
}

/* By the cluster's keeper. */
static int view(const struct typed *typed, json_t *at, const char *path)
{
	json_t *request = json_pack("{s:s, s:s, s:O}", "do", "view", "directory", path, "at", at);
	struct talk talk;
	int ending;

	/* jansson takes UTF-8 only. */
	if (!request)
		return fail(typed, END_USAGE, "the directory's path is not UTF-8");
	ending = talk_open(&talk, typed, TALK_ANY);
	if (ending == END_OK)
		ending = open_view(&talk, request);
	else
		json_decref(request);
	talk_close(&talk);
	return ending;
}

static int has_keeper(const struct typed *typed)
{
	return fail(typed, END_USAGE,
		    "--foreground: the keeper of '%s' shows its past; only SQLite's clusters have "
		    "none",
		    typed->operands[0]);
}

static int run_view(const struct typed *typed)
{
	bool inside = inside_is(typed);
	char path[PATH_MAX];
	int64_t asked_us;
	json_t *at;
	int ending;

	if (typed_switch(typed, "foreground") && !inside)
		return has_keeper(typed);
	ending = moment_parse(typed, "--at", typed_value(typed, "at"), &at, &asked_us);
	if (ending != END_OK)
		return ending;
	ending = find_directory(typed, typed->operands[1], path);
	if (ending == END_OK)
		ending = inside ? inside_view(typed, at, path) : view(typed, at, path);
	json_decref(at);
	return ending;
}

/* --- views ------------------------------------------------------------------------------------ */

/* A cluster's own in the order in which they were opened, also where each is told of by itself. */
static void add_in_order(json_t *all, json_t *view)
{
	size_t i = json_array_size(all);
	const json_t *last;

	while (i && (last = json_array_get(all, i - 1)) &&
	       !strcmp(json_text(last, "cluster"), json_text(view, "cluster")) &&
	       json_number(last, "since_us") > json_number(view, "since_us"))
		i--;
	json_array_insert(all, i, view);
}

/* Of whoever answers there. */
static int add_answered(struct talk *talk, json_t *all, struct problem *why)
{
	json_t *result = NULL, *view;
	size_t i;
	int r = talk_ask_quietly(talk, json_pack("{s:s}", "do", "views"), ANSWER_TIMEOUT_MS,
				 &result, why);

	if (r < 0)
		return r;
	json_array_foreach (json_object_get(result, "views"), i, view) {
		json_object_set_new(view, "cluster", json_string(talk->cluster->name));
		add_in_order(all, view);
	}
	json_decref(result);
	return 0;
}

struct adding {
	struct talk *talk;
	json_t *all;
	struct problem *why;
};

/* One that is gone by now is none. */
static int add_viewer(const char *socket, void *arg)
{
	struct adding *adding = arg;
	int r = control_connect(socket, &adding->talk->control, adding->why);

	if (r == 0)
		r = add_answered(adding->talk, adding->all, adding->why);
	control_close(take(adding->talk->control));
	return r == -ETIMEDOUT ? r : 0;
}

/* Of one cluster, each with its name; -ENOENT, -ECONNREFUSED: no keeper, no views. */
static int add_views(struct talk *talk, json_t *all, struct problem *why)
{
	struct adding adding = {talk, all, why};
	int r;

	control_close(take(talk->control));
	if (cluster_is_inside(talk->cluster))
		return viewer_for_each(talk->cluster, add_viewer, &adding);
	talk->looks = true;
	r = talk_reach(talk, why);
	return r < 0 ? r : add_answered(talk, all, why);
}

static bool is_without_keeper(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

static int add_name(const char *name, const struct cluster *cluster, const struct problem *why,
		    void *arg)
{
	if (cluster)
		json_array_append_new(arg, json_string(name));
	return 0;
}

/* Of all clusters that can be asked; of the others a line says so.  NULL: an error, printed. */
static json_t *views_of_all(const struct typed *typed)
{
	json_t *names = json_array(), *all = json_array(), *name;
	struct problem why = {""};
	size_t i;
	int r = cluster_for_each(add_name, names, &why);

	if (r < 0) {
		fail_why(typed, r, &why);
		json_decref(names);
		json_decref(all);
		return NULL;
	}
	json_array_foreach (names, i, name) {
		struct talk talk = {.typed = typed};

		r = cluster_find(json_string_value(name), &talk.cluster, &why);
		if (r >= 0)
			r = add_views(&talk, all, &why);
		if (r < 0 && !is_without_keeper(r))
			note("%s cannot be asked: %s", json_string_value(name), why.text);
		talk_close(&talk);
	}
	json_decref(names);
	return all;
}

/* Of the one that was named. */
static int views_of_one(const struct typed *typed, json_t **ret)
{
	json_t *all = json_array();
	struct problem why = {""};
	struct talk talk;
	int ending, r;

	ending = talk_open(&talk, typed, TALK_ONLY_IF_RUNS);
	if (ending == END_OK) {
		r = add_views(&talk, all, &why);
		if (r < 0 && !is_without_keeper(r))
			ending = fail_why(typed, r, &why);
	}
	talk_close(&talk);
	if (ending == END_OK)
		*ret = all;
	else
		json_decref(all);
	return ending;
}

static void print_views(const struct typed *typed, const json_t *all)
{
	bool utc = typed_switch(typed, "utc");
	char moment[MOMENT_TEXT_MAX], since[TIME_TEXT_MAX];
	const json_t *view;
	size_t i;

	json_array_foreach (all, i, view) {
		moment_format(json_at(view, "moment"), utc, moment);
		time_format_seconds(json_number(view, "since_us"), utc, since);
		printf("%s%s%s  %s, %s, since %s\n", style(stdout, BOLD),
		       json_text(view, "directory"), style(stdout, PLAIN),
		       json_text(view, "cluster"), moment, since);
	}
	if (!json_array_size(all))
		puts("none is open");
}

static int clear_killed(const char *name, const struct cluster *cluster, const struct problem *why,
			void *arg)
{
	if (cluster && cluster_is_inside(cluster))
		viewer_sweep(cluster, NULL);
	return 0;
}

void view_clear_killed(void)
{
	(void)cluster_for_each(clear_killed, NULL, NULL);
}

static int run_views(const struct typed *typed)
{
	json_t *all = NULL;
	int ending = END_OK;

	if (typed->operands[0])
		ending = views_of_one(typed, &all);
	else
		all = views_of_all(typed);
	if (!all)
		return ending == END_OK ? END_FAILED : ending;
	view_clear_killed();
	if (typed_switch(typed, "json"))
		return print_json(typed, json_pack("{s:o}", "views", all));
	json_clean(all);
	print_views(typed, all);
	json_decref(all);
	return END_OK;
}

/* --- unview ----------------------------------------------------------------------------------- */

/* As find_directory(), but of what is left by a keeper that died nothing can be asked. */
static int name_directory(const struct typed *typed, const char *text, char path[PATH_MAX])
{
	char here[PATH_MAX] = "";

	if (realpath(text, path))
		return END_OK;
	if (text[0] != '/' && !getcwd(here, sizeof here))
		return fail(typed, END_FAILED, "the current directory is gone: %s",
			    strerror(errno));
	if (snprintf(path, PATH_MAX, "%s%s%s", here, *here ? "/" : "", text) >= PATH_MAX)
		return fail(typed, END_USAGE, "the path is too long");
	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	return END_OK;
}

struct finding {
	struct talk *talk;
	const char *path;
};

/* A connection to the one that shows it. */
static int find_viewer(const char *socket, void *arg)
{
	struct finding *finding = arg;
	struct problem why = {""};
	json_t *all = json_array();
	bool found = false;

	if (control_connect(socket, &finding->talk->control, &why) == 0 &&
	    add_answered(finding->talk, all, &why) == 0)
		found = !strcmp(json_text(json_array_get(all, 0), "directory"), finding->path);
	json_decref(all);
	if (!found)
		control_close(take(finding->talk->control));
	return found;
}

static int end_view(const struct typed *typed, const char *name, const char *path)
{
	struct problem why = {""};
	struct cluster *cluster;
	struct talk talk;
	int ending, r;

	r = cluster_find(name, &cluster, &why);
	if (r < 0)
		return fail_why(typed, r, &why);
	if (cluster_is_inside(cluster)) {
		talk = (struct talk){.typed = typed, .cluster = cluster};
		viewer_for_each(cluster, find_viewer, &(struct finding){&talk, path});
		ending = END_OK;
	} else {
		ending = talk_open_cluster(&talk, typed, cluster, TALK_ONLY_IF_RUNS);
	}
	if (ending == END_OK && talk.control)
		ending = talk_ask(&talk,
				  json_pack("{s:s, s:s, s:b}", "do", "unview", "directory", path,
					    "force", typed_switch(typed, "force")),
				  NULL);
	talk_close(&talk);
	return ending;
}

struct leftover {
	const char *path;
	bool found;
};

/* A keeper that runs has swept already. */
static int sweep(const char *name, const struct cluster *cluster, const struct problem *why,
		 void *arg)
{
	struct leftover *leftover = arg;
	struct control *control = NULL;
	char path[PATH_MAX];

	if (!cluster)
		return 0;
	if (cluster_is_inside(cluster)) {
		leftover->found = viewer_sweep(cluster, leftover->path);
		return leftover->found;
	}
	cluster_socket(cluster, path);
	if (control_connect(path, &control, NULL) >= 0) {
		control_close(control);
		return 0;
	}
	if (cluster_path(cluster, VIEWS_FILE, path) && views_remembers(path, leftover->path)) {
		leftover->found = true;
		views_sweep(path);
	}
	return leftover->found;
}

static int end_leftover(const struct typed *typed, const char *path)
{
	struct leftover leftover = {.path = path};
	struct problem why = {""};
	int r = cluster_for_each(sweep, &leftover, &why);

	if (r < 0)
		return fail_why(typed, r, &why);
	if (!leftover.found)
		return fail(typed, END_NOT_FOUND,
			    "'%s' is not a view; 'unspill views' lists those that there are", path);
	return END_OK;
}

static int run_unview(const struct typed *typed)
{
	char path[PATH_MAX], cluster[CLUSTER_NAME_MAX + 1] = "";
	const json_t *view;
	json_t *all;
	size_t i;
	int ending;

	ending = name_directory(typed, typed->operands[0], path);
	if (ending != END_OK)
		return ending;
	all = views_of_all(typed);
	if (!all)
		return END_FAILED;
	json_array_foreach (all, i, view)
		if (!strcmp(json_text(view, "directory"), path))
			snprintf(cluster, sizeof cluster, "%s", json_text(view, "cluster"));
	json_decref(all);
	return *cluster ? end_view(typed, cluster, path) : end_leftover(typed, path);
}

/* --- Described -------------------------------------------------------------------------------- */

const struct command command_view = {
	.name = "view",
	.summary = "Show the files of a past moment in a directory, read-only",
	.operands = {OPERAND_CLUSTER, {"DIR", "an empty directory to show them in"}},
	.options =
		{
			{"at", .argument = "MOMENT", .required = true,
			 .text = "The moment to show."},
			{"foreground",
			 .text = "Of SQLite's: be the process that shows it, until it is ended by "
				 "a "
				 "signal or by unview, instead of leaving one behind."},
			OPTION_JSON("the view"),
			OPTION_UTC,
		},
	.text = "The whole tree of the cluster's volume appears in DIR, with the server's files in "
		"DIR/data, as a crash at that moment would have left them. Nothing is copied, and "
		"only what is looked at is read; the server goes on working, and a backtrack "
		"leaves what is shown as it is. There may be up to 64 views of one cluster.\n\n"
		"A view holds the horizon: from its moment on everything can be reached, however "
		"short the window, and is among the pins of 'unspill status'. It stays until "
		"'unspill unview', or until the cluster's keeper ends ('unspill stop' ends it). Of "
		"a stopped cluster a keeper is started that shows the past and no server; it "
		"ends by itself a minute after the last view.\n\n"
		"Of SQLite's clusters each view is a process of its own, on a clone of its own: it "
		"holds no history, and stays whoever has the volume meanwhile. SQLite can open "
		"what "
		"is shown where it needs to write nothing beside it: with file:...?immutable=1 "
		"where neither a -wal nor a -journal is, else from a copy.\n\n"
		"Whoever may read a file of the server may read it in the view: usually the "
		"server's user and root.",
	.examples =
		{
			{"view shop --at '10 minutes ago' /mnt/then", "Have a look."},
			{"view shop --at mark:before-migration /mnt/before",
			 "Beside another moment, to compare."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_UNREACHABLE | 1 << END_BUSY | 1 << END_CANCELLED |
		   1 << END_TAKEN | 1 << END_MACHINE,
	.takes_moment = true,
	.run = run_view,
};

const struct command command_views = {
	.name = "views",
	.summary = "List the views that are open",
	.operands = {{"NAME", "the cluster; all if left out", .optional = true}},
	.options = {OPTION_JSON("them"), OPTION_UTC},
	.text = "The directory, the cluster, the moment that is shown, and since when. Views end "
		"with their cluster's keeper; those of SQLite's, which has none, stay.",
	.examples = {{"views --json | jq -r '.views[].directory'", "The directories alone."}},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY,
	.run = run_views,
};

const struct command command_unview = {
	.name = "unview",
	.summary = "End a view",
	.operands = {{"DIR", "the directory that shows it"}},
	.options = {{"force", .text = "Also when somebody uses it: what is open there fails from "
				      "then on."}},
	.text = "The directory is empty again, and the history is no longer held. Also clears "
		"away what a keeper, or a process that showed SQLite's, has left mounted when it "
		"was "
		"killed.",
	.examples = {{"unview /mnt/then", "That is enough of the past."}},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY,
	.run = run_unview,
};
