/*
 * Goal: whatever text, number or tree a handler answers with, what leaves is well-formed and says
 * that; and what the model has not stays inside.
 */
#include "aws/answer.h"
#include "aws/cbor.h"
#include "base/log.h"
#include "tap.h"

#include <stdlib.h>

static char logged[1024];

static void catch_log(enum log_level level, const char *text)
{
	snprintf(logged, sizeof logged, "%s", text);
}

static const struct aws_shape *output_of(const char *service, const char *operation)
{
	const struct aws_operation *found =
		aws_operation_find(aws_service_find(service), operation, strlen(operation));

	return &aws_shapes[found->output];
}

static bool is_text(struct buffer *buffer, const char *text)
{
	bool same;

	buffer_put8(buffer, '\0');
	same = strcmp((char *)buffer->data, text) == 0;
	if (!same)
		printf("# %s\n", (char *)buffer->data);
	buffer_done(buffer);
	return same;
}

static void text_is_escaped_where_xml_and_json_want_it(void)
{
	static const struct {
		const char *text, *xml, *json;
	} texts[] = {
		{"", "", "\"\""},
		{"plain", "plain", "\"plain\""},
		{"a<b>&\"c\"", "a&lt;b&gt;&amp;&quot;c&quot;", "\"a<b>&\\\"c\\\"\""},
		{"tab\tline\nreturn\r", "tab\tline\nreturn&#xD;",
		 "\"tab\\u0009line\\nreturn\\u000d\""},
		{"bell\a", "bell\xEF\xBF\xBD", "\"bell\\u0007\""},
		{"back\\slash", "back\\slash", "\"back\\\\slash\""},
		{"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80",
		 "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\""},
		/* U+FFFD is a character, U+FFFE and U+FFFF are none for XML. */
		{"\xEF\xBF\xBD|\xEF\xBF\xBE|\xEF\xBF\xBF|",
		 "\xEF\xBF\xBD|\xEF\xBF\xBD|\xEF\xBF\xBD|",
		 "\"\xEF\xBF\xBD|\xEF\xBF\xBE|\xEF\xBF\xBF|\""},
		{"\xEF\xBC\xA1", "\xEF\xBC\xA1", "\"\xEF\xBC\xA1\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct buffer xml = {0}, json = {0};

		aws_answer_xml_text(&xml, texts[i].text, strlen(texts[i].text));
		check(is_text(&xml, texts[i].xml), "%zu", i);
		aws_answer_json_text(&json, texts[i].text, strlen(texts[i].text));
		check(is_text(&json, texts[i].json), "%zu", i);
	}
}

static void lists_maps_and_structures_have_the_model_s_elements(void)
{
	json_auto_t *clusters = json_pack("{s:[{s:s,s:[s,s],s:[],s:i,s:b}],s:n}", "DBClusters",
					  "DBClusterIdentifier", "a", "AvailabilityZones", "x", "y",
					  "TagList", "Port", 3306, "MultiAZ", 0, "Marker");
	json_auto_t *summary = json_pack("{s:{s:i,s:i}}", "SummaryMap", "Users", 3, "Groups", 0);
	struct buffer buffer = {0};

	aws_answer_xml(&buffer, output_of("rds", "DescribeDBClusters"), clusters);
	check(is_text(&buffer,
		      "<DBClusters><DBCluster><DBClusterIdentifier>a</DBClusterIdentifier>"
		      "<AvailabilityZones><AvailabilityZone>x</AvailabilityZone><AvailabilityZone>y"
		      "</AvailabilityZone></AvailabilityZones><TagList></TagList><Port>3306</Port>"
		      "<MultiAZ>false</MultiAZ></DBCluster></DBClusters>"));
	aws_answer_xml(&buffer, output_of("iam", "GetAccountSummary"), summary);
	check(is_text(&buffer, "<SummaryMap><entry><key>Users</key><value>3</value></entry><entry>"
			       "<key>Groups</key><value>0</value></entry></SummaryMap>"));
	aws_answer_json(&buffer, output_of("iam", "GetAccountSummary"), summary);
	check(is_text(&buffer, "{\"SummaryMap\":{\"Users\":3,\"Groups\":0}}"));
	aws_answer_json(&buffer, output_of("rds", "DescribeDBClusters"), clusters);
	check(is_text(&buffer, "{\"DBClusters\":[{\"DBClusterIdentifier\":\"a\","
			       "\"AvailabilityZones\":[\"x\",\"y\"],\"TagList\":[],\"Port\":3306,"
			       "\"MultiAZ\":false}]}"));
}

static void times_and_bytes_are_what_each_protocol_has_for_them(void)
{
	json_auto_t *report = json_pack("{s:s,s:s,s:f}", "Content", "AQIDBA==", "ReportFormat",
					"text/csv", "GeneratedTime", 1795788000.125);
	json_auto_t *whole = json_pack("{s:i}", "GeneratedTime", 1795788000);
	const struct aws_shape *shape = output_of("iam", "GetCredentialReport");
	static const char cbor[] = "\xa3\x67"
				   "Content\x44\x01\x02\x03\x04\x6cReportFormat\x68text/csv\x6d"
				   "GeneratedTime\xc1\xfb\x41\xda\xc2\x63\x38\x08\x00\x00";
	struct buffer buffer = {0};

	aws_answer_xml(&buffer, shape, report);
	check(is_text(&buffer, "<Content>AQIDBA==</Content><ReportFormat>text/csv</ReportFormat>"
			       "<GeneratedTime>2026-11-27T14:00:00.125Z</GeneratedTime>"));
	aws_answer_json(&buffer, shape, report);
	check(is_text(&buffer, "{\"Content\":\"AQIDBA==\",\"ReportFormat\":\"text/csv\","
			       "\"GeneratedTime\":1795788000.125}"));
	aws_answer_cbor(&buffer, shape, report);
	check(buffer.size == sizeof cbor - 1 && memcmp(buffer.data, cbor, buffer.size) == 0);
	buffer_done(&buffer);
	aws_answer_xml(&buffer, shape, whole);
	check(is_text(&buffer, "<GeneratedTime>2026-11-27T14:00:00Z</GeneratedTime>"));
	aws_answer_json(&buffer, shape, whole);
	check(is_text(&buffer, "{\"GeneratedTime\":1795788000}"));
}

static void what_the_model_has_not_stays_inside_and_is_logged(void)
{
	json_auto_t *answer = json_pack("{s:s,s:s,s:{s:i},s:[i]}", "Account", "123456789012",
					"Secret", "x", "Arn", "nested", 1, "UserId", 1);
	const struct aws_shape *shape = output_of("sts", "GetCallerIdentity");
	json_auto_t *read = NULL;
	struct buffer buffer = {0};

	log_set_sink(catch_log);
	aws_answer_xml(&buffer, shape, answer);
	check(is_text(&buffer, "<Account>123456789012</Account><Arn></Arn><UserId></UserId>"));
	check(strstr(logged, "'Secret'"), "%s", logged);
	aws_answer_json(&buffer, shape, answer);
	buffer_put8(&buffer, '\0');
	read = json_loads((char *)buffer.data, 0, NULL);
	check(read && !json_object_get(read, "Secret"), "%s", (char *)buffer.data);
	buffer_done(&buffer);
	json_decref(read);
	read = NULL;
	aws_answer_cbor(&buffer, shape, answer);
	check(cbor_read(buffer.data, buffer.size, &read, NULL) == 0);
	check(read && json_object_size(read) == 3 && !json_object_get(read, "Secret"));
	buffer_done(&buffer);
	log_set_sink(NULL);
}

int main(void)
{
	RUN(text_is_escaped_where_xml_and_json_want_it);
	RUN(lists_maps_and_structures_have_the_model_s_elements);
	RUN(times_and_bytes_are_what_each_protocol_has_for_them);
	RUN(what_the_model_has_not_stays_inside_and_is_logged);
	return tap_done();
}
