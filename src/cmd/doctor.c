/* unspill doctor */
#include "cmd/commands.h"
#include "cmd/machine.h"
#include "cmd/say.h"
#include "base/cleanup.h"
#include "keeper/cluster.h"
#include "mount/transport.h"

#include <sys/utsname.h>

struct visit {
	bool json;
	json_t *checks;
	int wrong;
};

static void add(struct visit *visit, const char *what, int r, const char *good,
		const struct problem *why)
{
	const char *text = r < 0 ? why->text : good;

	visit->wrong += r < 0;
	json_array_append_new(visit->checks, json_pack("{s:s, s:b, s:s}", "check", what, "ok",
						       r >= 0, "text", text));
	if (visit->json)
		return;
	printf("%s%s%s %-10s %s\n", style(stdout, r < 0 ? RED : GREEN),
	       is_utf8() ? r < 0 ? "✗" : "✓"
	       : r < 0   ? "x"
			 : "+",
	       style(stdout, PLAIN), what, text);
}

/* Both ways are well; of the other one it says how it is switched on. */
static void check_transport(struct visit *visit)
{
	struct problem why = {""};
	char text[sizeof why.text + 32];

	if (transport_check_io_uring(&why) < 0)
		snprintf(text, sizeof text, "/dev/fuse; %s", why.text);
	else
		snprintf(text, sizeof text, "io_uring");
	add(visit, "transport", 0, text, &why);
}

/* One of them is enough; the others are named only where they are. */
static void check_engines(struct visit *visit)
{
	const struct engine *engine;
	struct problem why = {""};
	char version[128];
	int found = 0;

	for (size_t i = 0; (engine = engine_at(i)) != NULL; i++)
		if (machine_check_engine(engine, version, &why) >= 0) {
			add(visit, engine->name, 0, version, &why);
			found++;
		}
	if (!found) {
		int r = machine_check_engine(engine_find(ENGINE_DEFAULT, NULL), version, &why);

		add(visit, ENGINE_DEFAULT, r, version, &why);
	}
}

static void visit_all(struct visit *visit)
{
	struct problem why = {""};
	char home[PATH_MAX] = "";
	struct utsname kernel;
	int r;

	uname(&kernel);
	add(visit, "kernel", 0, kernel.release, &why);
	r = machine_check_mount(&why);
	add(visit, "mount", r, geteuid() ? "fusermount3 is here" : "we are root", &why);
	r = machine_check_fuse(&why);
	add(visit, "/dev/fuse", r, "can be opened", &why);
	check_transport(visit);
	check_engines(visit);
	r = machine_check_home(&why);
	if (r >= 0)
		r = cluster_home(false, home, &why);
	add(visit, "home", r, home, &why);
	if (r < 0)
		return;
	r = machine_check_space(home, MACHINE_BYTES_NEW, &why);
	add(visit, "space", r, "enough for a new cluster", &why);
}

static int run(const struct typed *typed)
{
	struct visit visit = {.json = typed_switch(typed, "json"), .checks = json_array()};
	int ending = END_OK;

	visit_all(&visit);
	if (visit.json)
		ending = print_json(
			typed, json_pack("{s:O, s:b}", "checks", visit.checks, "ok", !visit.wrong));
	json_decref(visit.checks);
	if (!visit.wrong || ending != END_OK)
		return ending;
	return visit.json
		       ? END_MACHINE
		       : fail(typed, END_MACHINE, "%d of these must be mended first", visit.wrong);
}

const struct command command_doctor = {
	.name = "doctor",
	.summary = "See whether this machine has all that a cluster needs",
	.options = {OPTION_JSON("the findings"), OPTION_UTC},
	.text = "Looks at the privilege to mount, /dev/fuse, FUSE over io_uring, the database "
		"server's package, the list of clusters and the space there; says of each whether "
		"it is well, and how "
		"to mend what is not.",
	.examples = {{"doctor", "Before the first cluster, and whenever 'create' fails."}},
	.endings = 1 << END_MACHINE,
	.run = run,
};
