/*
 * Damage: bytes that flip and files that are cut are found and named, and never returned as data.
 *
 * Method: a volume with all there is (tape, packs, indexes, checkpoint, base, superblock), closed;
 * on a copy of its disk one byte of one file is flipped, or the file cut; then verify must name the
 * file, and whatever opens and reads must be an error or the truth.
 */
#include "volume_bed.h"

#define FILES 3

static const char *const names[FILES] = {"a", "b", "c"};

struct truth {
	uint8_t bytes[FILES][16 * 4096 + 100];
	size_t sizes[FILES];
};

static bool make(struct bed *bed, struct truth *truth)
{
	const struct volume_repack_options repack = {0};
	struct volume_repacked repacked;

	if (!bed_init(bed, 10 * SECOND))
		return false;
	for (int f = 0; f < FILES; f++)
		bed_fill(bed, names[f], 20 + f);
	bed->now_us += 30 * SECOND;
	bed_fill(bed, "a", 20);
	if (!check(bed_maintain(bed) == 0) || !check(volume_checkpoint(bed->volume) == 0))
		return false;
	bed_fill(bed, "a", 40);
	if (!check(volume_repack(bed->volume, &repack, &repacked, &bed->why) == 0) ||
	    !check(repacked.segments > 1))
		return false;
	bed_write(bed, "b", 3000, "a few bytes", 11);
	bed_say(bed, "c", "the newest");
	for (int f = 0; f < FILES; f++) {
		struct view *head = volume_head(bed->volume);

		truth->sizes[f] = view_read(head, bed_ino(head, names[f]), 0, truth->bytes[f],
					    sizeof truth->bytes[f]);
	}
	volume_close(bed->volume);
	bed->volume = NULL;
	return true;
}

struct place {
	char name[DISK_NAME_MAX];
	uint64_t size;
};

struct places {
	struct disk *disk;
	const char *folder;
	struct place all[64];
	size_t count;
};

static int add_place(const char *name, void *arg)
{
	struct places *places = arg;
	struct place *place = &places->all[places->count];
	CLEANUP(disk_file) struct disk_file *file = NULL;

	snprintf(place->name, sizeof place->name, "%s%s%s", places->folder,
		 *places->folder ? "/" : "", name);
	if (strstr(place->name, "spare") || strcmp(place->name, "lock") == 0)
		return 0;
	if (disk_open(places->disk, place->name, DISK_READ_ONLY, &file) < 0)
		return 0;
	disk_file_size(file, &place->size);
	if (place->size)
		places->count++;
	return 0;
}

static void find_places(struct disk *disk, struct places *ret)
{
	static const char *const folders[] = {"", "tape", "ckpt", "base"};

	*ret = (struct places){.disk = disk};
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		ret->folder = folders[i];
		disk_list(disk, folders[i], add_place, ret);
	}
}

struct found {
	const char *name;
	int reports, named;
};

static void note(const char *line, void *arg)
{
	struct found *found = arg;

	found->reports++;
	/* "base/00...2.sum at 0: ..." or the like; indexes may be named by their segment. */
	found->named += strstr(line, found->name) != NULL;
}

/* A file in pieces of `size` bytes: each is an error or the truth. */
static bool pieces_true(struct view *head, uint64_t ino, const struct truth *truth, int f,
			size_t size)
{
	static uint8_t piece[sizeof truth->bytes[0]];

	for (uint64_t at = 0; at < truth->sizes[f]; at += size) {
		ssize_t got = view_read(head, ino, at, piece, size);

		if (got >= 0 && memcmp(piece, truth->bytes[f] + at, got))
			return false;
	}
	return true;
}

/* Every read of the head, of parts of blocks and of many blocks. */
static bool reads_true(struct bed *bed, const struct truth *truth)
{
	struct view *head = volume_head(bed->volume);

	for (int f = 0; f < FILES; f++) {
		uint64_t ino = bed_ino(head, names[f]);

		if (!pieces_true(head, ino, truth, f, 1000) ||
		    !pieces_true(head, ino, truth, f, sizeof truth->bytes[f]))
			return false;
	}
	return true;
}

/* Returns false when verify did not find it. */
static bool try_damaged(struct disk *disk, const char *name, const struct truth *truth,
			bool *ret_true)
{
	struct bed bed = {.disk = disk};
	struct found found = {.name = name};
	struct volume_verify_options options = {.report = note, .arg = &found};

	bed.now_us = 2000 * SECOND;
	bed.options = (struct volume_options){.clock = bed_clock,
					      .clock_arg = &bed,
					      .bytes_reserved = 1,
					      .checkpoint_records = UINT64_MAX};
	*ret_true = true;
	if (volume_verify(disk, NULL, &options) < 0)
		return false;
	if (bed_open(&bed) == 0) {
		*ret_true = reads_true(&bed, truth);
		volume_close(bed.volume);
	} else {
		*ret_true = bed.why.text[0] != 0;
	}
	return found.reports > 0 && found.named > 0;
}

/* A byte that no checksum covers: behind the records of a segment, or in a hole of a base file. */
static bool is_live(struct disk *disk, const struct place *place, uint64_t offset)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	uint8_t around[64];
	ssize_t got;

	if (strstr(place->name, ".dat"))
		return true;
	if (!strstr(place->name, ".seg"))
		return true;
	/* Where nothing but zeros follows, nothing was written: the segments of this test are new.
	 */
	disk_open(disk, place->name, DISK_READ_ONLY, &file);
	for (uint64_t at = offset; at < place->size; at += got) {
		got = disk_file_read(file, around, sizeof around, at);
		if (got <= 0)
			break;
		for (ssize_t i = 0; i < got; i++)
			if (around[i])
				return true;
	}
	return false;
}

static void every_flipped_byte_is_found_named_and_never_read_as_data(void)
{
	static struct truth truth;
	struct places places;
	struct bed bed;
	int flips = 0;

	require(make(&bed, &truth));
	find_places(bed.disk, &places);
	check(places.count >= 8, "%zu files", places.count);
	srandom(7);
	for (size_t i = 0; i < places.count; i++) {
		const struct place *place = &places.all[i];
		/* Small files at every 16th byte, large ones at some hundred places. */
		uint64_t step = MAX(place->size / 150, (uint64_t)16);

		for (uint64_t at = 0; at < place->size; at += 1 + random() % (2 * step)) {
			struct disk *copy;
			bool is_true;

			if (!is_live(bed.disk, place, at))
				continue;
			copy = disk_memory_copy(bed.disk);
			disk_memory_flip(copy, place->name, at, 1 << random() % 8);
			check(try_damaged(copy, place->name, &truth, &is_true),
			      "%s at %llu not found", place->name, (unsigned long long)at);
			check(is_true, "%s at %llu read as data", place->name,
			      (unsigned long long)at);
			disk_close(copy);
			flips++;
		}
	}
	printf("# %d flips in %zu files\n", flips, places.count);
	bed_done(&bed);
}

static void every_cut_file_is_found_named_and_never_read_as_data(void)
{
	static struct truth truth;
	struct places places;
	struct bed bed;

	require(make(&bed, &truth));
	find_places(bed.disk, &places);
	for (size_t i = 0; i < places.count; i++)
		for (int eighth = 0; eighth < 8; eighth++) {
			uint64_t size = places.all[i].size * eighth / 8;
			struct disk *copy = disk_memory_copy(bed.disk);
			bool is_true;

			if (is_live(bed.disk, &places.all[i], size)) {
				disk_memory_cut(copy, places.all[i].name, size);
				check(try_damaged(copy, places.all[i].name, &truth, &is_true),
				      "%s cut to %llu not found", places.all[i].name,
				      (unsigned long long)size);
				check(is_true, "%s cut to %llu read as data", places.all[i].name,
				      (unsigned long long)size);
			}
			disk_close(copy);
		}
	bed_done(&bed);
}

static void every_missing_file_is_found_and_never_read_as_data(void)
{
	static struct truth truth;
	struct places places;
	struct bed bed;

	require(make(&bed, &truth));
	find_places(bed.disk, &places);
	for (size_t i = 0; i < places.count; i++) {
		struct disk *copy = disk_memory_copy(bed.disk);
		const char *name = places.all[i].name;
		struct found found = {.name = name};
		struct volume_verify_options options = {.report = note, .arg = &found};
		/* What can be made again is not missed: indexes and checkpoints. */
		bool derived = strstr(name, ".idx") || strstr(name, "ckpt/");
		bool is_true;

		disk_remove(copy, name);
		volume_verify(copy, NULL, &options);
		check(derived || found.reports, "%s missing and not missed", name);
		try_damaged(copy, name, &truth, &is_true);
		check(is_true, "%s missing, and read as data", name);
		disk_close(copy);
	}
	bed_done(&bed);
}

int main(void)
{
	RUN(every_flipped_byte_is_found_named_and_never_read_as_data);
	RUN(every_cut_file_is_found_named_and_never_read_as_data);
	RUN(every_missing_file_is_found_and_never_read_as_data);
	return tap_done();
}
