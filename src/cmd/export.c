/* unspill export */
#include "cmd/commands.h"
#include "cmd/talk.h"
#include "base/units.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The directory to copy to, absolute: the keeper lives elsewhere.  It is new or empty. */
static int check_target(const struct typed *typed, const char *text, char path[PATH_MAX])
{
	char here[PATH_MAX];
	struct dirent *entry;
	bool empty = true;
	DIR *dir;

	if (text[0] == '/')
		here[0] = '\0';
	else if (!getcwd(here, sizeof here))
		return fail(typed, END_FAILED, "the current directory is gone: %s",
			    strerror(errno));
	if (snprintf(path, PATH_MAX, "%s%s%s", here, *here ? "/" : "", text) >= PATH_MAX)
		return fail(typed, END_USAGE, "--to: the path is too long");
	dir = opendir(path);
	if (!dir && errno == ENOENT)
		return END_OK;
	if (!dir && errno == ENOTDIR)
		return fail(typed, END_TAKEN, "--to: the file '%s' exists already", text);
	if (!dir)
		return fail(typed, END_TAKEN, "--to: '%s': %s", text, strerror(errno));
	while ((entry = readdir(dir)))
		empty &= !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	closedir(dir);
	if (!empty)
		return fail(typed, END_TAKEN,
			    "--to: the directory '%s' is not empty; name a new or empty one", text);
	return END_OK;
}

static void print_result(const struct typed *typed, const json_t *result, const char *path)
{
	char files[UNITS_TEXT_MAX], bytes[UNITS_TEXT_MAX], moment[MOMENT_TEXT_MAX];

	count_format((uint64_t)json_number(result, "files"), files);
	bytes_format(json_real_at(result, "bytes"), bytes);
	moment_format(json_at(result, "moment"), typed_switch(typed, "utc"), moment);
	printf("%s files, %s, as of %s, are in %s\n", files, bytes, moment, path);
}

static int copy(const struct typed *typed, const char *path, json_t *at)
{
	struct talk talk;
	json_t *result;
	int ending;

	ending = talk_open(&talk, typed, TALK_ANY);
	if (ending == END_OK) {
		talk_catch_interrupts();
		ending = talk_ask(&talk,
				  json_pack("{s:s, s:s, s:O, s:s*}", "do", "export", "to", path,
					    "at", at, "database", typed_value(typed, "database")),
				  &result);
	}
	if (ending == END_OK && typed_switch(typed, "json")) {
		ending = print_json(typed, result);
	} else if (ending == END_OK) {
		print_result(typed, result, path);
		json_decref(result);
	}
	talk_close(&talk);
	return ending;
}

static int run(const struct typed *typed)
{
	const char *text = typed_value(typed, "at");
	char path[PATH_MAX];
	int64_t asked_us;
	json_t *at;
	int ending;

	ending = moment_parse(typed, "--at", text ? text : "now", &at, &asked_us);
	if (ending != END_OK)
		return ending;
	ending = check_target(typed, typed_value(typed, "to"), path);
	if (ending == END_OK)
		ending = copy(typed, path, at);
	json_decref(at);
	return ending;
}

const struct command command_export = {
	.name = "export",
	.summary = "Copy a cluster's data, of now or of any moment, out as plain files",
	.operands = {OPERAND_CLUSTER},
	.options =
		{
			{"to", .argument = "DIR", .required = true,
			 .text = "The directory to copy to; new, or empty. Of SQLite: the new "
				 "file."},
			{"at", .argument = "MOMENT",
			 .text = "The moment to copy; now if left out."},
			{"database", .argument = "FILE",
			 .text = "Of SQLite: the name of the database's file in the volume, where "
				 "there are several."},
			OPTION_JSON("the result"),
			OPTION_UTC,
		},
	.text = "The copy is a data directory as a crash at that moment would have left it: any "
		"server of the same engine and version starts on it and recovers. The cluster "
		"goes on working meanwhile.\n\n"
		"This is the way out of Unspill, a backup, and a look at the past without going "
		"there.",
	.examples =
		{
			{"export shop --to /backup/shop", "The data of now."},
			{"export shop --to /tmp/then --at 'yesterday 18:00'",
			 "The data of yesterday evening."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_UNREACHABLE | 1 << END_BUSY | 1 << END_DAMAGED |
		   1 << END_CANCELLED | 1 << END_TAKEN | 1 << END_MACHINE,
	.takes_moment = true,
	.run = run,
};
