#include "identity/managed.h"
#include "base/alloc.h"

#include <string.h>

/* What each of them may besides: to know and to renew himself. */
#define HIMSELF                                                                       \
	"{\"Sid\":\"Himself\",\"Effect\":\"Allow\",\"Action\":[\"iam:GetUser\","      \
	"\"iam:ListAccessKeys\",\"iam:CreateAccessKey\",\"iam:UpdateAccessKey\","     \
	"\"iam:DeleteAccessKey\",\"iam:GetAccessKeyLastUsed\",\"iam:ListUserTags\"]," \
	"\"Resource\":\"arn:aws:iam::*:user/${aws:username}\"}"

/* Who may tag a cluster could allow himself what its tags allow: so this one may not. */
#define OPERATOR                                                                                 \
	"{\"Version\":\"2012-10-17\",\"Statement\":["                                            \
	"{\"Sid\":\"Look\",\"Effect\":\"Allow\",\"Action\":[\"rds:Describe*\",\"rds:List*\","    \
	"\"rds:DownloadDBLogFilePortion\",\"cloudwatch:Describe*\",\"cloudwatch:Get*\","         \
	"\"cloudwatch:List*\",\"logs:Describe*\",\"logs:Get*\",\"logs:FilterLogEvents\","        \
	"\"logs:StartQuery\",\"logs:StopQuery\",\"cloudtrail:LookupEvents\"],"                   \
	"\"Resource\":\"*\"},"                                                                   \
	"{\"Sid\":\"Run\",\"Effect\":\"Allow\",\"Action\":[\"rds:StartDBCluster\","              \
	"\"rds:StopDBCluster\",\"rds:RebootDBCluster\",\"rds:RebootDBInstance\","                \
	"\"rds:CreateDBClusterSnapshot\"],\"Resource\":\"*\"},"                                  \
	"{\"Sid\":\"BacktrackWhatIsTaggedForIt\",\"Effect\":\"Allow\","                          \
	"\"Action\":\"rds:BacktrackDBCluster\",\"Resource\":\"*\",\"Condition\":{"               \
	"\"StringEquals\":{\"aws:ResourceTag/unspill:operators-backtrack\":\"true\"}}}," HIMSELF \
	"]}"

#define ARCHITECT                                                                                \
	"{\"Version\":\"2012-10-17\",\"Statement\":["                                            \
	"{\"Sid\":\"CreateAndChange\",\"Effect\":\"Allow\",\"Action\":[\"rds:*\",\"unspill:*\"," \
	"\"cloudwatch:*\",\"logs:*\",\"events:*\",\"sns:*\",\"config:*\",\"cloudtrail:*\"],"     \
	"\"Resource\":\"*\"},"                                                                   \
	"{\"Sid\":\"LookAtPermissions\",\"Effect\":\"Allow\",\"Action\":[\"iam:Get*\","          \
	"\"iam:List*\",\"iam:Simulate*\"],\"Resource\":\"*\"}," HIMSELF "]}"

#define AUDITOR                                                                                    \
	"{\"Version\":\"2012-10-17\",\"Statement\":["                                              \
	"{\"Sid\":\"ReadEverything\",\"Effect\":\"Allow\",\"Action\":[\"*:Describe*\",\"*:Get*\"," \
	"\"*:List*\",\"*:Lookup*\",\"iam:Simulate*\",\"logs:FilterLogEvents\","                    \
	"\"logs:StartQuery\",\"logs:StopQuery\",\"rds:DownloadDBLogFilePortion\"],"                \
	"\"Resource\":\"*\"}]}"

static const struct {
	const char *name, *id, *description, *document;
} policies[] = {
	{"UnspillOperator", "ANPAUNSPILLOPERATORAA",
	 "Everyday work: looks at everything, starts and stops clusters, backtracks those that are "
	 "tagged unspill:operators-backtrack=true.",
	 OPERATOR},
	{"UnspillArchitect", "ANPAUNSPILLARCHITECTA",
	 "Creates and changes clusters and all that belongs to them; looks at permissions.",
	 ARCHITECT},
	{"UnspillAuditor", "ANPAUNSPILLAUDITORAAA", "Reads everything, changes nothing.", AUDITOR},
};

/* 2026-11-27 */
#define MADE 1795737600.0

void managed_add(struct identity *identity)
{
	for (unsigned i = 0; i < ARRAY_SIZE(policies); i++) {
		char arn[128];
		json_t *data;

		snprintf(arn, sizeof arn, "arn:aws:iam::aws:policy/%s", policies[i].name);
		data = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:{s:{s:s, s:f}}}",
				 "PolicyName", policies[i].name, "PolicyId", policies[i].id, "Arn",
				 arn, "Path", "/", "Description", policies[i].description,
				 "DefaultVersionId", "v1", "CreateDate", MADE, "UpdateDate", MADE,
				 "Versions", "v1", "Document", policies[i].document, "CreateDate",
				 MADE);
		store_add_fixed(identity, ENTITY_POLICY, IDENTITY_AWS_ACCOUNT, policies[i].name,
				xcheck(data));
	}
}
