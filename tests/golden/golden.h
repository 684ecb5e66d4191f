/*
 * Golden: a file's bytes as text that can be read and compared: 16 bytes a line, "*" for lines like
 * the one before, each file under a line with its name and size.
 */
#pragma once

#include "base/alloc.h"
#include "base/buffer.h"
#include "disk/disk.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>

__attribute__((format(printf, 2, 3))) static inline void golden_print(struct buffer *out,
								      const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	buffer_put(out, text, strlen(text));
}

static inline void golden_render(struct buffer *out, const char *name, const uint8_t *data,
				 size_t size)
{
	bool starred = false;

	golden_print(out, "file %s %zu\n", name, size);
	for (size_t at = 0; at < size; at += 16) {
		size_t n = MIN((size_t)16, size - at);

		if (at > 0 && n == 16 && memcmp(data + at, data + at - 16, 16) == 0) {
			golden_print(out, "%s", starred ? "" : "*\n");
			starred = true;
			continue;
		}
		starred = false;
		golden_print(out, "%06zx ", at);
		for (size_t i = 0; i < n; i++)
			golden_print(out, "%s%02x", i % 8 ? "" : " ", data[at + i]);
		golden_print(out, "  ");
		for (size_t i = 0; i < n; i++)
			golden_print(out, "%c", isgraph(data[at + i]) ? data[at + i] : '.');
		golden_print(out, "\n");
	}
}

/* Every file of `folder` on the disk, by name. */
struct golden_folder {
	struct disk *disk;
	const char *folder;
	struct buffer *out;
};

static inline int golden_render_one(const char *name, void *arg)
{
	struct golden_folder *folder = arg;
	char path[DISK_NAME_MAX + 1];
	CLEANUP(free) void *data = NULL;
	size_t size;
	int r;

	snprintf(path, sizeof path, "%s%s%s", folder->folder, *folder->folder ? "/" : "", name);
	r = disk_read_file(folder->disk, path, 64 << 20, &data, &size);
	if (r == 0)
		golden_render(folder->out, path, data, size);
	return r;
}

static inline int golden_render_folder(struct buffer *out, struct disk *disk, const char *folder)
{
	struct golden_folder arg = {disk, folder, out};

	return disk_list(disk, folder, golden_render_one, &arg);
}

/* One line of 16 bytes (or fewer, at the end) into `data`; returns where they go, or -1. */
static inline long golden_parse_line(const char *line, uint8_t *data, size_t size)
{
	char *at;
	size_t offset = strtoul(line, &at, 16), n = 0;

	if (at == line || offset >= size)
		return -1;
	at += strspn(at, " ");
	while (n < 16 && offset + n < size && sscanf(at, "%2hhx", &data[offset + n]) == 1) {
		n++;
		at += 2 + (n == 8);
	}
	return n == MIN((size_t)16, size - offset) ? (long)offset : -1;
}

/* The lines of one file from `*text` on; 0 or -1. */
static inline int golden_parse_file(const char **text, uint8_t *data, size_t size)
{
	size_t filled = 0;

	while (**text && strncmp(*text, "file ", 5) != 0) {
		if (**text != '*') {
			long offset = golden_parse_line(*text, data, size);

			if (offset < 0)
				return -1;
			for (; filled < (size_t)offset; filled++)
				data[filled] = data[filled - 16];
			filled = MIN((size_t)offset + 16, size);
		}
		*text = strchr(*text, '\n') + 1;
	}
	for (; filled < size; filled++)
		data[filled] = data[filled - 16];
	return 0;
}

/* Make the files that the text describes.  0, or -1 when it is not such a text. */
static inline int golden_restore(const char *text, struct disk *disk)
{
	while (*text) {
		CLEANUP(disk_file) struct disk_file *file = NULL;
		CLEANUP(free) uint8_t *data = NULL;
		char name[DISK_NAME_MAX + 1];
		size_t size;

		if (sscanf(text, "file %100s %zu", name, &size) != 2)
			return -1;
		text = strchr(text, '\n') + 1;
		data = xcalloc(1, size);
		if (golden_parse_file(&text, data, size) < 0)
			return -1;
		if (disk_open(disk, name, DISK_CREATE, &file) < 0 ||
		    disk_file_write(file, data, size, 0) < 0)
			return -1;
	}
	return 0;
}

/* A text file outside; the caller frees it.  NULL when it cannot be read. */
static inline char *golden_load(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	if (!file)
		return NULL;
	if (getdelim(&text, &room, 0, file) < 0) {
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

/*
 * A test's arguments: "IMAGE", or "--write IMAGE" to write what `render` makes (the caller's,
 * NULL: it cannot), and end.  -1: go on, with *ret_image; else the exit code.
 */
static inline int golden_begin(int argc, char **argv, char *(*render)(void), const char **ret_image)
{
	bool write = argc == 3 && strcmp(argv[1], "--write") == 0;

	if (!write && argc != 2)
		return 2;
	*ret_image = argv[argc - 1];
	if (!write)
		return -1;
	CLEANUP(free) char *text = render();
	FILE *file = text ? fopen(*ret_image, "w") : NULL;

	if (!file || fputs(text, file) < 0)
		return 1;
	return fclose(file) != 0;
}
