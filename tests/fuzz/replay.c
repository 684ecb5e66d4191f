/*
 * Replay: gives every file of the corpora named on the command line, and the empty input, to the
 * fuzz target that it is linked with.  Prints TAP; an input that kills the program is the one named
 * last.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count;

static void replay(const char *name, const uint8_t *data, size_t size)
{
	/* Memory of exactly that size, so that a read past the end is seen by the sanitizer. */
	uint8_t *exact = malloc(size ? size : 1);

	memcpy(exact, data, size);
	printf("# %s\n", name);
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	printf("ok %d - %s replays\n", ++count, name);
}

static int replay_file(const char *directory, const char *name)
{
	static uint8_t data[INPUT_MAX];
	char path[4096];
	size_t size;
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	file = fopen(path, "rb");
	if (!file)
		return 1;
	size = fread(data, 1, sizeof data, file);
	fclose(file);
	replay(name, data, size);
	return 0;
}

static int replay_directory(const char *directory)
{
	struct dirent **entries;
	int found = scandir(directory, &entries, NULL, alphasort), failed = found < 0;

	for (int i = 0; i < found; i++) {
		if (entries[i]->d_name[0] != '.')
			failed |= replay_file(directory, entries[i]->d_name);
		free(entries[i]);
	}
	if (found >= 0)
		free(entries);
	if (failed)
		printf("not ok %d - %s can be read\n", ++count, directory);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0;

	replay("the empty input", (const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		failed |= replay_directory(argv[i]);
	printf("1..%d\n", count);
	return failed;
}
