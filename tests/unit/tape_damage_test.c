/*
 * Damage: opening and verifying name it, and nothing damaged is ever returned as data.
 */
#include "tape_model.h"
#include "tape/record.h"

/* --- What is found ------------------------------------------------------------------------ */

struct lines {
	unsigned count;
	char first[600];
	const char *expect; /* a text that some line must have */
	bool found;
};

static void collect(const char *line, void *arg)
{
	struct lines *lines = arg;

	if (lines->count++ == 0)
		snprintf(lines->first, sizeof lines->first, "%s", line);
	lines->found |= lines->expect && strstr(line, lines->expect);
}

static void verify(struct model *model, struct lines *lines)
{
	int r = tape_verify(model->disk, model->options.uuid, model->options.segment_bytes, 0,
			    collect, NULL, lines);

	check(r == 0, "%d", r);
}

struct damage_scan {
	struct model *model;
	size_t at;
	bool wrong;
};

/* A record that is returned is one of the model's, later than the last, with its own data or none.
 */
static int never_wrong(const struct tape_record *found, void *arg)
{
	struct damage_scan *scan = arg;
	struct model *model = scan->model;
	const struct model_record *mine;

	while (scan->at < model->count && model->records[scan->at].record.lsn < found->lsn)
		scan->at++;
	mine = &model->records[scan->at];
	if (scan->at == model->count || !same_record(model, mine, found)) {
		scan->wrong = true;
		return 1;
	}
	CLEANUP(free) uint8_t *data = model_bytes(model, mine->number, 1, found->data_size);
	CLEANUP(free) uint8_t *buf = xmalloc(found->data_size);
	int r = tape_read(model->tape, found->lsn, 0, buf, found->data_size, NULL);

	scan->wrong = r == 0 ? memcmp(buf, data, found->data_size) != 0 : r != -EBADMSG;
	scan->at++;
	return scan->wrong;
}

/* 1: refused with -EBADMSG; 0: opened.  Either way nothing wrong comes out. */
static bool nothing_wrong_comes_out(struct model *model, struct problem *why, int *ret_open)
{
	struct damage_scan scan = {.model = model};
	int r;

	*ret_open = tape_open(model->disk, &model->options, &model->tape, why);
	if (*ret_open < 0) {
		model->tape = NULL;
		return check(*ret_open == -EBADMSG, "%d", *ret_open);
	}
	r = tape_scan(model->tape, 0, UINT64_MAX, never_wrong, &scan, why);
	tape_close(take(model->tape));
	return check(!scan.wrong && (r == 0 || r == -EBADMSG), "%d", r);
}

/* A tape of some sealed segments and a last one, cleanly closed. */
static void make_tape(struct model *model, int records, uint32_t data_max)
{
	model_init(model, 5);
	model->data_max = data_max;
	check(model_open(model) == 0);
	for (int i = 0; i < records; i++) {
		check(model_append(model) == 0);
		if (i % 3 == 0)
			check(model_sync(model) == 0);
	}
	check(model_sync(model) == 0);
	tape_close(take(model->tape));
}

static uint64_t tape_end_of(struct model *model)
{
	uint64_t end;

	check(model_open(model) == 0);
	end = tape_end(model->tape);
	tape_close(take(model->tape));
	return end;
}

/* The name of the file, and the offset of the record that a byte belongs to. */
static void place_of(struct model *model, uint64_t at, char *name, size_t size, uint64_t *ret_lsn)
{
	uint64_t bytes = model->options.segment_bytes;

	snprintf(name, size, "tape/%016" PRIx64 ".seg", at / bytes * bytes);
	*ret_lsn = 0;
	for (size_t i = 0; i < model->count; i++)
		if (model->records[i].record.lsn <= at)
			*ret_lsn = model->records[i].record.lsn;
}

static bool flip_is_found(struct model *model, uint64_t at, uint8_t mask)
{
	struct model copy = *model;
	struct lines lines = {0};
	struct problem why = {""};
	char name[64];
	uint64_t lsn;
	bool good;
	int r;

	copy.disk = disk_memory_copy(model->disk);
	copy.options.clock_arg = &copy;
	place_of(model, at, name, sizeof name, &lsn);
	lines.expect = name;
	check(disk_memory_flip(copy.disk, name, at % copy.options.segment_bytes, mask) == 0);
	verify(&copy, &lines);
	good = check(lines.found, "byte %" PRIu64 " of record %" PRIu64 ": %s", at, lsn,
		     lines.first) &&
	       nothing_wrong_comes_out(&copy, &why, &r);
	if (good && r < 0)
		good = check(strstr(why.text, name) != NULL, "byte %" PRIu64 ": %s", at, why.text);
	disk_close(copy.disk);
	return good;
}

/* But not in the record that the close has put at the end: it says only that all before it is
 * there. */
static void every_flipped_byte_of_a_live_record_is_found_and_named(void)
{
	struct model model;
	uint64_t end, at;

	make_tape(&model, 12, 300);
	end = tape_end_of(&model) - RECORD_CLOSE_SIZE;
	require(end > 3000 && end < 12000, "%" PRIu64, end);
	for (at = 0; at < end; at++)
		if (!flip_is_found(&model, at, 1 << at % 8))
			break;
	check(at == end);
	model_done(&model);
}

static bool is_live(struct model *model, uint64_t at)
{
	for (size_t i = 0; i < model->count; i++)
		if (at >= model->records[i].record.lsn && at < model->records[i].record.end)
			return true;
	return at % model->options.segment_bytes < RECORD_SEGMENT_SIZE;
}

static void flipped_bytes_of_sealed_segments_are_found_and_named(void)
{
	struct model model;
	uint64_t end, at;
	unsigned flips = 0;

	make_tape(&model, 110, 6000);
	end = tape_end_of(&model) - RECORD_CLOSE_SIZE;
	require(end > 2 * model.options.segment_bytes, "%" PRIu64, end);
	for (at = 0; at < end; at += 211) {
		if (!is_live(&model, at))
			continue;
		flips++;
		if (!flip_is_found(&model, at, 0x80))
			break;
	}
	check(at >= end && flips > 400, "%u", flips);
	model_done(&model);
}

static void a_flipped_byte_of_an_index_is_found_and_nothing_is_lost(void)
{
	struct model model;
	CLEANUP(free) void *data = NULL;
	size_t size, at;

	make_tape(&model, 60, 6000);
	require(disk_read_file(model.disk, "tape/0000000000000000.idx", 1 << 20, &data, &size) ==
		0);
	for (at = 0; at < size; at++) {
		struct model copy = model;
		struct lines lines = {.expect = "tape/0000000000000000.idx"};
		bool good;

		copy.disk = disk_memory_copy(model.disk);
		copy.options.clock_arg = &copy;
		disk_memory_flip(copy.disk, "tape/0000000000000000.idx", at, 1 << at % 8);
		verify(&copy, &lines);
		good = check(lines.found, "byte %zu", at) && check(model_open(&copy) == 0) &&
		       model_compare(&copy, at % 64 == 0);
		tape_close(take(copy.tape));
		disk_close(copy.disk);
		if (!good)
			break;
	}
	check(at == size && size > 1000);
	model_done(&model);
}

static void a_file_cut_anywhere_is_found(void)
{
	struct model model;
	uint64_t end, last, size = 0;

	make_tape(&model, 60, 6000);
	end = tape_end_of(&model);
	last = end / model.options.segment_bytes * model.options.segment_bytes;
	for (; size < model.options.segment_bytes; size += 700) {
		struct model copy = model;
		struct lines lines = {0};
		struct problem why = {""};
		char name[64];
		int r;

		snprintf(name, sizeof name, "tape/%016" PRIx64 ".seg", last);
		lines.expect = name;
		copy.disk = disk_memory_copy(model.disk);
		copy.options.clock_arg = &copy;
		disk_memory_cut(copy.disk, name, size);
		verify(&copy, &lines);
		check(lines.found);
		check(nothing_wrong_comes_out(&copy, &why, &r) && r == -EBADMSG, "%d", r);
		check(strstr(why.text, name) != NULL, "%s", why.text);
		/* Accepting the loss gives a tape that works, and stays accepted. */
		copy.options.accept_loss = true;
		check(nothing_wrong_comes_out(&copy, &why, &r) && r == 0, "%d", r);
		copy.options.accept_loss = false;
		if (!check(nothing_wrong_comes_out(&copy, &why, &r) && r == 0,
			   "cut at %" PRIu64 ": %s", size, why.text))
			size = UINT64_MAX / 2;
		disk_close(copy.disk);
	}
	model_done(&model);
}

/* --- Losses that are accepted ------------------------------------------------------------- */

static void accepted_loss_cuts_before_the_damage_and_is_final(void)
{
	struct model model;
	struct problem why = {""};
	uint64_t lost;
	int r;

	make_tape(&model, 60, 6000);
	lost = model.records[50].record.lsn;
	r = disk_memory_flip(model.disk, "tape/0000000000010000.seg", lost % 65536 + 3, 1);
	require(lost > 65536 && lost < 131072 && r == 0);
	require(tape_open(model.disk, &model.options, &model.tape, &why) == -EBADMSG);
	model.tape = NULL;
	check(strstr(why.text, "tape/0000000000010000.seg") != NULL, "%s", why.text);
	model.options.accept_loss = true;
	require(model_open(&model) == 0);
	model.count = 50;
	model.acked = 0;
	model_compare(&model, true);
	for (int i = 0; i < 5; i++)
		check(model_append(&model) == 0 && model_sync(&model) == 0);
	model.options.accept_loss = false;
	check(model_crash(&model));
	check(model.count == 55);
	model_done(&model);
}

/*
 * Goal: what was given up does not come back, whatever the next power cut leaves.
 * Method: lose a segment in the middle with its index, so that sealed ones behind it are given up
 * too.
 */
static void given_up_segments_and_their_indexes_do_not_come_back(void)
{
	struct model model;
	size_t kept = 0;

	make_tape(&model, 230, 6000);
	require(model.records[229].record.lsn > 3 * 65536);
	while (model.records[kept].record.lsn < 65536 + 20000)
		kept++;
	require(disk_memory_flip(model.disk, "tape/0000000000010000.seg",
				 model.records[kept].record.lsn - 65536 + 3, 1) == 0);
	require(disk_remove(model.disk, "tape/0000000000010000.idx") == 0);
	for (uint64_t seed = 1; seed < 40; seed++) {
		struct model copy = model;

		copy.options.clock_arg = &copy;
		copy.records = xmemdup(model.records, model.room * sizeof *model.records);
		copy.disk = disk_memory_copy(model.disk);
		copy.random = seed;
		require(tape_open(copy.disk, &copy.options, &copy.tape, NULL) == -EBADMSG);
		copy.options.accept_loss = true;
		require(model_open(&copy) == 0);
		copy.options.accept_loss = false;
		copy.count = kept;
		copy.acked = kept;
		for (int i = 0; i < 60; i++)
			check(model_append(&copy) == 0 && (i % 4 || model_sync(&copy) == 0));
		if (!check(model_crash(&copy) && model_crash(&copy), "seed %" PRIu64, seed))
			seed = UINT64_MAX / 2;
		model_done(&copy);
	}
	model_done(&model);
}

static void segments_that_only_an_index_remembers_are_missed(void)
{
	struct model model;
	struct problem why = {""};

	make_tape(&model, 110, 6000);
	require(model.records[109].record.lsn > 2 * 65536);
	for (uint64_t lsn = 65536; lsn <= model.records[109].record.lsn; lsn += 65536) {
		char name[64];

		snprintf(name, sizeof name, "tape/%016" PRIx64 ".seg", lsn);
		require(disk_remove(model.disk, name) == 0);
	}
	check(tape_open(model.disk, &model.options, &model.tape, &why) == -EBADMSG);
	model.tape = NULL;
	check(strstr(why.text, ".seg is missing") != NULL, "%s", why.text);
	model_done(&model);
}

/*
 * Goal: a torn first flush of a segment is a torn tail: nothing in it says otherwise.
 * Method: the segment's first record is damaged, a later one of the same flush is whole.
 */
static void a_torn_start_of_a_segment_is_no_damage(void)
{
	struct model model;
	struct disk *old;
	size_t last;

	model_init(&model, 21);
	require(model_open(&model) == 0);
	do
		require(model_sync(&model) == 0 && model_append(&model) == 0);
	while (model.records[model.count - 1].record.lsn < 65536);
	last = model.count - 1;
	while (model.count < last + 4)
		require(model_append(&model) == 0);
	require(model_sync(&model) == 0);
	model.acked = last;
	old = model.disk;
	model.disk = disk_memory_copy(old);
	tape_close(take(model.tape));
	disk_close(old);
	require(disk_memory_flip(model.disk, "tape/0000000000010000.seg", 10, 1) == 0);
	require(model_open(&model) == 0);
	check(model_adopt(&model) && model.count == last);
	model_compare(&model, true);
	model_done(&model);
}

static void a_missing_segment_before_a_prepared_one_is_damage(void)
{
	struct model model;
	struct problem why = {""};
	struct lines lines = {.expect = "missing"};
	struct disk_file *file;

	make_tape(&model, 60, 6000);
	require(disk_remove(model.disk, "tape/0000000000010000.seg") == 0);
	require(disk_open(model.disk, "tape/0000000000020000.seg", DISK_CREATE, &file) == 0);
	check(disk_file_write_zeros(file, 0, model.options.segment_bytes) == 0);
	disk_file_close(file);
	require(tape_open(model.disk, &model.options, &model.tape, &why) == -EBADMSG);
	model.tape = NULL;
	check(strstr(why.text, "tape/0000000000010000.seg is missing") != NULL, "%s", why.text);
	verify(&model, &lines);
	check(lines.found, "%s", lines.first);
	model_done(&model);
}

/* --- What is not ours --------------------------------------------------------------------- */

static void a_foreign_tape_is_refused(void)
{
	struct model model;
	struct problem why = {""};
	struct lines lines = {.expect = "belongs to another volume"};

	make_tape(&model, 10, 300);
	model.options.uuid[3] ^= 1;
	check(tape_open(model.disk, &model.options, &model.tape, &why) == -EBADMSG);
	model.tape = NULL;
	check(strstr(why.text, "belongs to another volume") != NULL, "%s", why.text);
	verify(&model, &lines);
	check(lines.found);
	model_done(&model);
}

static void other_segment_sizes_are_refused(void)
{
	struct model model;
	struct problem why = {""};

	make_tape(&model, 10, 300);
	model.options.segment_bytes = 128 * 1024;
	check(tape_open(model.disk, &model.options, &model.tape, &why) == -EINVAL, "%s", why.text);
	model.tape = NULL;
	model.options.segment_bytes = 64 * 1024 + 512;
	check(tape_open(model.disk, &model.options, &model.tape, &why) == -EINVAL);
	model.options.segment_bytes = 96 * 1024;
	check(tape_open(model.disk, &model.options, &model.tape, &why) == -EINVAL);
	model.options.segment_bytes = 32 * 1024;
	check(tape_open(model.disk, &model.options, &model.tape, &why) == -EINVAL);
	model.options.segment_bytes = 64 * 1024;
	check(model_open(&model) == 0);
	model_done(&model);
}

/* Rewrite the first record of the tape with other feature words, checksum right. */
static void set_features(struct model *model, uint32_t compat, uint32_t incompat)
{
	uint8_t bytes[RECORD_SEGMENT_SIZE];
	struct tape_segment_meta *meta = (void *)(bytes + sizeof(struct tape_record_header));
	struct disk_file *file;
	struct record record;

	check(disk_open(model->disk, "tape/0000000000000000.seg", 0, &file) == 0);
	check(disk_file_read(file, bytes, sizeof bytes, 0) == sizeof bytes);
	meta->compat = to_le32(compat);
	meta->incompat = to_le32(incompat);
	record_decode((void *)bytes, &record);
	record_encode(&record, meta, NULL, record_seed(model->options.uuid), (void *)bytes);
	check(disk_file_write(file, bytes, sizeof bytes, 0) == 0);
	disk_file_close(file);
}

static void a_newer_format_is_refused_and_a_compatible_one_is_not(void)
{
	struct model model;
	struct problem why = {""};

	make_tape(&model, 10, 300);
	set_features(&model, 0, 1);
	check(tape_open(model.disk, &model.options, &model.tape, &why) == -EPROTONOSUPPORT);
	model.tape = NULL;
	check(strstr(why.text, "newer") != NULL, "%s", why.text);
	set_features(&model, 0x80000000, 0);
	check(model_open(&model) == 0);
	model_compare(&model, true);
	model_done(&model);
}

int main(void)
{
	RUN(every_flipped_byte_of_a_live_record_is_found_and_named);
	RUN(flipped_bytes_of_sealed_segments_are_found_and_named);
	RUN(a_flipped_byte_of_an_index_is_found_and_nothing_is_lost);
	RUN(a_file_cut_anywhere_is_found);
	RUN(accepted_loss_cuts_before_the_damage_and_is_final);
	RUN(given_up_segments_and_their_indexes_do_not_come_back);
	RUN(segments_that_only_an_index_remembers_are_missed);
	RUN(a_torn_start_of_a_segment_is_no_damage);
	RUN(a_missing_segment_before_a_prepared_one_is_damage);
	RUN(a_foreign_tape_is_refused);
	RUN(other_segment_sizes_are_refused);
	RUN(a_newer_format_is_refused_and_a_compatible_one_is_not);
	return tap_done();
}
