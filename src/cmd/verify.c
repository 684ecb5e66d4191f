/*
 * unspill verify
 *
 * Where a keeper runs it is asked.  Where none runs we look ourselves: opening a volume mends what
 * can be mended (a checkpoint or an index that is damaged is made anew), and that should be told
 * before.
 */
#include "cmd/commands.h"
#include "cmd/talk.h"
#include "base/units.h"
#include "disk/disk.h"
#include "volume/volume.h"

#include <errno.h>

struct looking {
	struct progress progress;
	json_t *damage;
	uint64_t bytes;
};

static void note_damage(const char *line, void *arg)
{
	struct looking *looking = arg;

	json_array_append_new(looking->damage, json_string(line));
}

static bool note_progress(uint64_t done, uint64_t total, void *arg)
{
	struct looking *looking = arg;
	json_t *step = json_pack("{s:s, s:I, s:I, s:s}", "step", "verify", "done", (json_int_t)done,
				 "total", (json_int_t)total, "unit", "bytes");

	looking->bytes = done;
	progress_update(step, &looking->progress);
	json_decref(step);
	return !talk_interrupted();
}

static int look(struct talk *talk, struct looking *looking, struct problem *why)
{
	const struct volume_verify_options options = {note_damage, note_progress, looking};
	struct disk *disk;
	char path[PATH_MAX];
	int r, owner = 0;

	if (!cluster_path(talk->cluster, "volume", path))
		return problem(why, -ENAMETOOLONG, "the cluster's path is too long");
	r = disk_local_open(path, &disk);
	if (r < 0)
		return problem_errno(why, r, "cannot open '%s'", path);
	r = disk_lock(disk, &owner);
	if (r < 0)
		problem_errno(why, r, "cannot take '%s', process %d has it", path, owner);
	else
		r = volume_verify(disk, NULL, &options);
	disk_close(disk);
	return r;
}

static int look_ourselves(struct talk *talk, json_t **ret)
{
	struct looking looking = {.damage = json_array()};
	struct problem why = {"the volume cannot be read"};
	int r;

	progress_init(&looking.progress, typed_has(talk->typed, "json"));
	r = look(talk, &looking, &why);
	progress_done(&looking.progress, r == 0);
	if (r < 0) {
		json_decref(looking.damage);
		return r == -ECANCELED ? fail(talk->typed, END_CANCELLED, "cancelled")
				       : fail_why(talk->typed, r, &why);
	}
	*ret = json_pack("{s:o, s:I}", "damage", looking.damage, "bytes",
			 (json_int_t)looking.bytes);
	return END_OK;
}

static int report(const struct talk *talk, const json_t *result)
{
	const json_t *damage = json_at(result, "damage"), *line;
	char bytes[UNITS_TEXT_MAX];
	size_t i;

	bytes_format(json_real_at(result, "bytes"), bytes);
	json_array_foreach (damage, i, line)
		puts(json_string_value(line));
	if (json_array_size(damage))
		return fail(talk->typed, END_DAMAGED, "%zu damaged place%s in %s",
			    json_array_size(damage), json_array_size(damage) == 1 ? "" : "s",
			    bytes);
	printf("%s: %s read, every checksum is right\n", talk->cluster->name, bytes);
	return END_OK;
}

static int run(const struct typed *typed)
{
	struct talk talk;
	json_t *result;
	int ending;

	ending = talk_open(&talk, typed, TALK_ONLY_IF_RUNS);
	if (ending == END_OK) {
		talk_catch_interrupts();
		ending = talk.control ? talk_ask(&talk, json_pack("{s:s}", "do", "verify"), &result)
				      : look_ourselves(&talk, &result);
	}
	if (ending == END_OK && typed_switch(typed, "json")) {
		bool damaged = json_array_size(json_at(result, "damage"));

		ending = print_json(typed, result);
		if (ending == END_OK && damaged)
			ending = END_DAMAGED;
	} else if (ending == END_OK) {
		ending = report(&talk, result);
		json_decref(result);
	}
	talk_close(&talk);
	return ending;
}

const struct command command_verify = {
	.name = "verify",
	.summary = "Check every checksum of the tape, the base and the checkpoints",
	.operands = {OPERAND_CLUSTER},
	.options = {OPTION_JSON("the damage"), OPTION_UTC},
	.text = "Reads all that is on the disk and prints one line per damaged place. The cluster "
		"goes on working meanwhile. Changes nothing.",
	.examples = {{"verify shop", "Exit code 0: all is well; 6: something is damaged."}},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY | 1 << END_DAMAGED | 1 << END_CANCELLED,
	.run = run,
};
