/*
 * Views, when asked for.  They need no work to be free: whatever becomes of the server and the head
 * meanwhile, the past stays.
 */
#include "keeper/internal.h"

#include "base/log.h"

#include <errno.h>
#include <unistd.h>

json_t *looking_tell(const struct view_shown *view)
{
	return json_pack("{s:s, s:o, s:I}", "directory", view->directory, "moment",
			 answer_moment(&view->moment), "since_us", (json_int_t)view->since_us);
}

/* A person who has gone away meanwhile is not left with something mounted. */
static int open_for(struct keeper *keeper, struct connection *connection,
		    const struct request *request, struct view_shown *ret, struct problem *why)
{
	struct holding holding;
	struct moment at;
	int r;

	keeper_holding(keeper, &holding);
	r = holding_resolve(&holding, &request->moment, &at, why);
	if (r == 0)
		r = views_open(keeper->views, &at, request->directory, ret, why);
	if (r < 0 || connection_alive(connection))
		return r;
	views_end(keeper->views, request->directory, true, NULL);
	return problem(why, -ECANCELED, "cancelled");
}

void looking_view(struct keeper *keeper, struct connection *connection,
		  const struct request *request)
{
	struct view_shown view;
	struct problem why = {""};
	int r;

	/* Root can mount on anybody's directory: for root alone, then. */
	if (geteuid() == 0 && connection_uid(connection) != 0) {
		connection_error(connection, "forbidden",
				 "root runs this keeper, so that only root may have it mount "
				 "something");
		return;
	}
	connection_progress(connection, "view", 0, 0, "");
	r = open_for(keeper, connection, request, &view, &why);
	if (r < 0) {
		connection_error(connection, answer_code(r), "%s", why.text);
		return;
	}
	log_info("'%s' shows lsn:%llu", view.directory, (unsigned long long)view.moment.lsn);
	connection_result(connection, looking_tell(&view));
}

static int add_view(const struct view_shown *view, void *arg)
{
	json_array_append_new(arg, looking_tell(view));
	return 0;
}

void looking_list(struct views *views, struct connection *connection)
{
	json_t *all = json_array();

	views_for_each(views, add_view, all);
	connection_result(connection, json_pack("{s:o}", "views", all));
}

bool looking_end(struct views *views, struct connection *connection, const struct request *request)
{
	struct problem why = {""};
	int r = views_end(views, request->directory, request->force, &why);

	if (r < 0)
		connection_error(connection, answer_code(r), "%s", why.text);
	else
		log_info("'%s' shows the past no more", request->directory);
	return r == 0;
}

void looking_views(struct keeper *keeper, struct connection *connection,
		   const struct request *request)
{
	looking_list(keeper->views, connection);
}

void looking_unview(struct keeper *keeper, struct connection *connection,
		    const struct request *request)
{
	if (looking_end(keeper->views, connection, request))
		connection_result(connection, json_object());
}
