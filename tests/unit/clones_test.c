/*
 * Goal: as long as a clone shares a cluster's base, and no longer, that base is held and the clone
 * is named; whatever became of the clone meanwhile, and whoever was killed.
 *
 * Method: the real server, client and volumes on a directory, two clones at most beside it.
 */
#include "holding_bed.h"

#include "control/clones.h"
#include "volume/volume.h"

static struct holder shop;
static struct control *control;

static bool write_something(void)
{
	struct volume_new new = {.mode = S_IFREG | 0644};
	char text[] = "something";
	struct iovec iov = {text, sizeof text};
	struct volume *volume = shop.holding.volume;
	struct volume_attr attr;

	return check(volume_create(volume, VOLUME_ROOT_INO, "f", &new, &attr) == 0) &&
	       check(volume_write(volume, attr.ino, 0, &iov, 1, false) == 0);
}

static bool begin(void)
{
	return holder_init(&shop) && write_something() &&
	       check(control_connect(shop.socket, &control, &shop.why) == 0, "%s", shop.why.text);
}

static void end(void)
{
	control_close(take(control));
	holder_done(&shop);
}

/* A new directory for a clone, as `unspill clone` makes it. */
static bool make_place(const char *name)
{
	char volume[64];

	snprintf(volume, sizeof volume, "%s/volume", name);
	return check(mkdir(holder_path(&shop, name), 0711) == 0) &&
	       check(mkdir(holder_path(&shop, volume), 0700) == 0);
}

/* "" or the error's code. */
static const char *clone_into(const char *name, const char *place)
{
	return holder_ask(&shop, control,
			  json_pack("{s:s, s:s, s:s, s:{s:b}}", "do", "clone", "to",
				    holder_path(&shop, place), "name", name, "at", "now", 1),
			  NULL);
}

static bool make_clone(const char *name, const char *place)
{
	const char *code = make_place(place) ? clone_into(name, place) : "no place";

	return check(!*code, "%s: %s: %s", name, code, shop.why.text);
}

/* The names in clones_list(), sorted as they come, with blanks. */
static bool are_listed(const char *one, const char *other)
{
	json_t *list = clones_list(shop.directory), *name;
	size_t wanted = (one != NULL) + (other != NULL), i;
	bool all = json_array_size(list) == wanted;

	json_array_foreach (list, i, name)
		all = all && ((one && strcmp(json_string_value(name), one) == 0) ||
			      (other && strcmp(json_string_value(name), other) == 0));
	json_decref(list);
	return all;
}

static void review(void)
{
	clones_review(&shop.clones, shop.directory, shop.holding.volume);
}

static void a_clone_is_named_and_holds_the_base_once_however_many_there_are(void)
{
	char name[NAME_MAX + 1], target[PATH_MAX] = "";

	require(begin());
	check(!clones_find(shop.directory, true, name) && are_listed(NULL, NULL));
	require(make_clone("lab", "one"));
	check(holder_pins(&shop) == 1 && are_listed("lab", NULL));
	check(clones_find(shop.directory, true, name) && strcmp(name, "lab") == 0, "%s", name);
	check(readlink(holder_path(&shop, "clones/lab"), target, sizeof target - 1) > 0 &&
		      strcmp(target, holder_path(&shop, "one")) == 0,
	      "%s", target);
	require(make_clone("staging", "two"));
	check(holder_pins(&shop) == 1 && are_listed("lab", "staging"));
	review();
	check(holder_pins(&shop) == 1 && are_listed("lab", "staging"));
	end();
}

static void a_name_that_is_taken_is_refused_and_stays_with_whom_it_was(void)
{
	char target[PATH_MAX] = "";

	require(begin());
	require(make_clone("lab", "one"));
	require(make_place("two"));
	check(strcmp(clone_into("lab", "two"), "exists") == 0, "%s", shop.why.text);
	check(strstr(shop.why.text, "'lab'") && strstr(shop.why.text, holder_path(&shop, "one")),
	      "%s", shop.why.text);
	check(readlink(holder_path(&shop, "clones/lab"), target, sizeof target - 1) > 0 &&
		      strcmp(target, holder_path(&shop, "one")) == 0,
	      "%s", target);
	check(holder_pins(&shop) == 1 && are_listed("lab", NULL));
	end();
}

static void one_that_was_deleted_is_noticed_and_its_name_is_free(void)
{
	require(begin());
	require(make_clone("lab", "one"));
	holder_remove(holder_path(&shop, "one"));
	check(are_listed(NULL, NULL) && holder_has(&shop, "clones/lab"));
	require(make_clone("lab", "two"));
	check(are_listed("lab", NULL) && holder_pins(&shop) == 1);
	holder_remove(holder_path(&shop, "two"));
	review();
	check(holder_pins(&shop) == 0 && !holder_has(&shop, "clones/lab"));
	review();
	check(holder_pins(&shop) == 0, "it was let go of twice");
	end();
}

static void detach(const char *place)
{
	const struct volume_options options = {.bytes_reserved = 1};
	CLEANUP(volume) struct volume *volume = NULL;
	CLEANUP(disk) struct disk *disk = NULL;
	struct problem why = {""};
	char below[64];

	snprintf(below, sizeof below, "%s/volume", place);
	require(disk_local_open(holder_path(&shop, below), &disk) == 0);
	require(volume_open(disk, &options, &volume, &why) == 0, "%s", why.text);
	check(volume_detach(volume, NULL, NULL, &why) == 0, "%s", why.text);
	volume_close(take(volume));
}

static void the_base_is_let_go_of_when_the_last_one_has_detached(void)
{
	require(begin());
	require(make_clone("lab", "one") && make_clone("staging", "two"));
	detach("one");
	check(are_listed("staging", NULL));
	review();
	check(holder_pins(&shop) == 1 && !holder_has(&shop, "clones/lab"));
	detach("two");
	review();
	check(holder_pins(&shop) == 0 && !holder_has(&shop, "clones/staging"));
	check(holder_has(&shop, "one/volume") && holder_has(&shop, "two/volume"));
	end();
}

static void a_holder_that_is_killed_finds_them_when_it_begins_anew(void)
{
	require(begin());
	require(make_clone("lab", "one") && make_clone("staging", "two"));
	holder_remove(holder_path(&shop, "two"));
	control_close(take(control));
	holder_close(&shop);
	shop.clones = (struct clones)CLONES_INIT;
	require(holder_open(&shop));
	check(holder_pins(&shop) == 1 && shop.clones.held && are_listed("lab", NULL));
	detach("one");
	review();
	check(holder_pins(&shop) == 0);
	holder_close(&shop);
	shop.clones = (struct clones)CLONES_INIT;
	require(holder_open(&shop));
	check(holder_pins(&shop) == 0 && !shop.clones.held);
	end();
}

/* Killed between the entry and the volume, or in the middle of that. */
static void an_entry_that_tells_of_no_volume_yet_is_none(void)
{
	char name[NAME_MAX + 1];

	require(begin());
	require(mkdir(holder_path(&shop, "clones"), 0700) == 0 && make_place("one"));
	require(symlink(holder_path(&shop, "one"), holder_path(&shop, "clones/lab")) == 0);
	require(symlink("/nowhere", holder_path(&shop, "clones/gone")) == 0);
	check(!clones_find(shop.directory, false, name) && are_listed(NULL, NULL));
	check(holder_has(&shop, "clones/lab"), "it was swept though nobody said so");
	check(!clones_begin(&shop.clones, shop.directory));
	check(!holder_has(&shop, "clones/lab") && !holder_has(&shop, "clones/gone"));
	check(!*clone_into("lab", "one"), "%s", shop.why.text);
	check(are_listed("lab", NULL));
	end();
}

static void what_fails_leaves_no_entry_and_holds_nothing_for_long(void)
{
	const char *code;

	require(begin());
	code = clone_into("lab", "nowhere");
	check(strcmp(code, "not-found") == 0 && strstr(shop.why.text, "nowhere/volume"), "%s: %s",
	      code, shop.why.text);
	check(!holder_has(&shop, "clones/lab"));
	require(make_clone("staging", "one"));
	code = clone_into("lab", "one");
	check(strcmp(code, "exists") == 0, "%s: %s", code, shop.why.text);
	check(!holder_has(&shop, "clones/lab") && are_listed("staging", NULL));
	holder_remove(holder_path(&shop, "one"));
	review();
	check(holder_pins(&shop) == 0);
	/* Nothing but a failure: it was held for that, and is let go of. */
	check(*clone_into("lab", "nowhere"));
	review();
	check(holder_pins(&shop) == 0);
	end();
}

static void while_one_is_being_made_the_base_is_not_let_go_of(void)
{
	require(begin());
	require(make_clone("lab", "one"));
	holder_remove(holder_path(&shop, "one"));
	shop.clones.making++;
	review();
	check(holder_pins(&shop) == 1 && shop.clones.held);
	shop.clones.making--;
	review();
	check(holder_pins(&shop) == 0 && !shop.clones.held);
	end();
}

static void a_name_that_is_none_reaches_no_file(void)
{
	static const char *const names[] = {"../lab", "a/b", ".", "1x", "a b"};

	require(begin());
	require(make_place("one"));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		check(strcmp(clone_into(names[i], "one"), "bad-request") == 0, "%s: %s", names[i],
		      shop.why.text);
	check(!holder_has(&shop, "clones") && holder_pins(&shop) == 0);
	/* Nor is what lies there under such a name anybody's to remove. */
	require(mkdir(holder_path(&shop, "clones"), 0700) == 0 &&
		symlink("/nowhere", holder_path(&shop, "clones/.hidden")) == 0);
	check(!clones_begin(&shop.clones, shop.directory) && holder_has(&shop, "clones/.hidden"));
	end();
}

static void a_holder_without_clones_says_so(void)
{
	require(begin());
	require(make_place("one"));
	shop.holding.clones = NULL;
	check(strcmp(clone_into("lab", "one"), "bad-request") == 0, "%s", shop.why.text);
	check(strstr(shop.why.text, "makes no clones") && !holder_has(&shop, "clones"));
	end();
}

int main(void)
{
	RUN(a_clone_is_named_and_holds_the_base_once_however_many_there_are);
	RUN(a_name_that_is_taken_is_refused_and_stays_with_whom_it_was);
	RUN(one_that_was_deleted_is_noticed_and_its_name_is_free);
	RUN(the_base_is_let_go_of_when_the_last_one_has_detached);
	RUN(a_holder_that_is_killed_finds_them_when_it_begins_anew);
	RUN(an_entry_that_tells_of_no_volume_yet_is_none);
	RUN(what_fails_leaves_no_entry_and_holds_nothing_for_long);
	RUN(while_one_is_being_made_the_base_is_not_let_go_of);
	RUN(a_name_that_is_none_reaches_no_file);
	RUN(a_holder_without_clones_says_so);
	return tap_done();
}
