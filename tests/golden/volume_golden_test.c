/*
 * The bytes of a volume are what they were: the same changes, by a fixed clock, give the golden
 * image, and the golden image gives the same volume, with all that was said in it.
 * `volume_golden_test --write FILE` makes the image anew: only for a change of the format that is
 * meant, and said in docs/format.md.
 */
#include "golden.h"
#include "volume_bed.h"

#include <fcntl.h>
#include <sys/xattr.h>

static const uint8_t uuid[16] = "golden volume 1";
static const char *image_path;

static void make(struct bed *bed)
{
	struct volume_format_options format = {.segment_bytes = BED_SEGMENT,
					       .window_us = 10 * SECOND,
					       .root_mode = 0750,
					       .root_uid = 1,
					       .root_gid = 2,
					       .clock = bed_clock,
					       .clock_arg = bed,
					       .uuid = uuid};
	struct volume_new directory = {.mode = S_IFDIR | 0700},
			  link = {.mode = S_IFLNK | 0777, .target = "f"};
	struct volume_change change = {.set = VOLUME_SET_SIZE, .size = 5000};
	struct moment early, mark;
	struct volume_attr attr;
	uint64_t ino;

	*bed = (struct bed){.now_us = 1000 * SECOND};
	bed->disk = disk_memory_new(1);
	bed->options = (struct volume_options){.clock = bed_clock,
					       .clock_arg = bed,
					       .bytes_reserved = 1,
					       .checkpoint_records = UINT64_MAX};
	require(volume_format(bed->disk, &format, &bed->why) == 0 && bed_open(bed) == 0, "%s",
		bed->why.text);
	bed_fill(bed, "old", 18);
	bed->now_us += 30 * SECOND;
	bed_say(bed, "f", "early");
	early = bed_now(bed);
	bed_maintain(bed); /* folds "old" */
	ino = bed_ino(volume_head(bed->volume), "f");
	volume_create(bed->volume, VOLUME_ROOT_INO, "d", &directory, &attr);
	volume_create(bed->volume, attr.ino, "l", &link, &attr);
	volume_link(bed->volume, ino, VOLUME_ROOT_INO, "g", &attr);
	volume_setxattr(bed->volume, ino, "user.x", "value", 5, 0);
	volume_setattr(bed->volume, ino, &change, &attr);
	volume_fallocate(bed->volume, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 50);
	volume_rename(bed->volume, VOLUME_ROOT_INO, "g", VOLUME_ROOT_INO, "h", 0);
	volume_mark(bed->volume, "golden", &mark, &bed->why);
	bed_say(bed, "f", "later");
	volume_checkpoint(bed->volume);
	check(bed_back(bed, early) == 0, "%s", bed->why.text);
	bed_say(bed, "n", "after");
	volume_sync(bed->volume);
}

static char *render(void)
{
	static const char *const folders[] = {"", "base", "ckpt", "tape"};
	struct buffer out = {0};
	struct bed bed;

	make(&bed);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		golden_render_folder(&out, bed.disk, folders[i]);
	buffer_put8(&out, 0);
	bed_done(&bed);
	return (char *)out.data;
}

static void the_same_changes_give_the_golden_image(void)
{
	CLEANUP(free) char *image = golden_load(image_path);
	CLEANUP(free) char *now = render();
	size_t at = 0;

	require(image, "%s cannot be read", image_path);
	while (image[at] && image[at] == now[at])
		at++;
	check(strcmp(image, now) == 0, "from here on: %.100s", now + at);
}

static void the_golden_image_gives_the_same_volume(void)
{
	CLEANUP(free) char *image = golden_load(image_path);
	struct bed bed = {.now_us = 1040 * SECOND};
	struct moment mark;

	bed.disk = disk_memory_new(1);
	require(image && golden_restore(image, bed.disk) == 0, "%s cannot be read", image_path);
	bed.options =
		(struct volume_options){.clock = bed_clock, .clock_arg = &bed, .bytes_reserved = 1};
	require(bed_open(&bed) == 0, "%s", bed.why.text);
	check(bed_head_says(&bed, "f", "early") && bed_head_says(&bed, "n", "after") &&
	      bed_head_says(&bed, "h", NULL));
	check(bed_head_says(&bed, "old", "\020\020\020"));
	require(volume_find_mark(bed.volume, "golden", &mark, &bed.why) == 0, "%s", bed.why.text);
	require(bed_back(&bed, mark) == 0, "%s", bed.why.text);
	check(bed_head_says(&bed, "h", "early") && bed_head_says(&bed, "n", NULL));
	check(view_getxattr(volume_head(bed.volume), bed_ino(volume_head(bed.volume), "h"),
			    "user.x", NULL, 0) == 5);
	bed_done(&bed);
}

int main(int argc, char **argv)
{
	int code = golden_begin(argc, argv, render, &image_path);

	log_set_level(LOG_ERROR);
	if (code >= 0)
		return code;
	RUN(the_same_changes_give_the_golden_image);
	RUN(the_golden_image_gives_the_same_volume);
	return tap_done();
}
