"""
Identity by the stock clients: each operation of IAM and STS that `unspill serve` answers, by boto3 and by `aws`, and what
policies allow, seen from the outside.
"""
import json
import os

from clients import BOTH, Boto3, CommandLine, document, refused
from harness import check, main, note
from serving import Serving

serving = None

NO_SUCH = "NoSuchEntity"
READ = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:Get*", "Resource": "*"}]}
LIST = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["iam:List*"], "Resource": "*"}}


def trust(principal):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}]})


def serve_starts_and_shows_its_key_once():
    global serving
    serving = Serving("first")
    serving.start()
    check(len(serving.account) == 12 and serving.account.isdigit(), f"account {serving.account!r}")
    check("aws configure" in serving.said, serving.said)
    serving.stop()
    serving.start()
    check(serving.secret not in serving.said, "the secret is shown a second time")
    for client in serving.clients():
        who = client.sts("GetCallerIdentity")
        check(who == {"UserId": serving.account, "Account": serving.account, "Arn": f"arn:aws:iam::{serving.account}:root"}, who)


def a_user_lives_and_ends(client, name):
    iam = client.iam
    made = iam("CreateUser", UserName=name, Path="/staff/", Tags=[{"Key": "team", "Value": "data"}])["User"]
    check(made["Arn"] == f"arn:aws:iam::{serving.account}:user/staff/{name}", made)
    check(made["UserId"].startswith("AIDA"), made)
    refused("EntityAlreadyExists", iam, "CreateUser", UserName=name)
    refused(NO_SUCH, iam, "GetUser", UserName=name + "-not")
    check(iam("GetUser", UserName=name)["User"]["UserId"] == made["UserId"], "another user")
    check(name in [user["UserName"] for user in iam("ListUsers", PathPrefix="/staff/")["Users"]], "is not listed")
    iam("UpdateUser", UserName=name, NewUserName=name + "2", NewPath="/")
    name += "2"
    iam("TagUser", UserName=name, Tags=[{"Key": "a", "Value": "1"}, {"Key": "team", "Value": "ops"}])
    iam("UntagUser", UserName=name, TagKeys=["a"])
    check(iam("ListUserTags", UserName=name)["Tags"] == [{"Key": "team", "Value": "ops"}], "tags")

    iam("PutUserPolicy", UserName=name, PolicyName="read", PolicyDocument=json.dumps(READ))
    got = iam("GetUserPolicy", UserName=name, PolicyName="read")
    check(document(got["PolicyDocument"]) == READ, got)
    check(iam("ListUserPolicies", UserName=name)["PolicyNames"] == ["read"], "inline policies")
    words = refused("MalformedPolicyDocument", iam, "PutUserPolicy", UserName=name, PolicyName="bad", PolicyDocument='{"a": 1}')
    note(f"{client.title}: a bad policy: {words}")
    keys_rotate(client, name)
    refused("DeleteConflict", iam, "DeleteUser", UserName=name)
    iam("DeleteUserPolicy", UserName=name, PolicyName="read")
    iam("DeleteUser", UserName=name)
    refused(NO_SUCH, iam, "DeleteUser", UserName=name)


def keys_rotate(client, name):
    iam = client.iam
    first = iam("CreateAccessKey", UserName=name)["AccessKey"]
    second = iam("CreateAccessKey", UserName=name)["AccessKey"]
    refused("LimitExceeded", iam, "CreateAccessKey", UserName=name)
    listed = iam("ListAccessKeys", UserName=name)["AccessKeyMetadata"]
    check({key["AccessKeyId"] for key in listed} == {first["AccessKeyId"], second["AccessKeyId"]}, listed)
    check("SecretAccessKey" not in str(listed), "a secret is listed")
    user = client.other(first["AccessKeyId"], first["SecretAccessKey"])
    check(user.sts("GetCallerIdentity")["Arn"].endswith(f":user/{name}"), "another caller")
    used = iam("GetAccessKeyLastUsed", AccessKeyId=first["AccessKeyId"])
    check(used["UserName"] == name and used["AccessKeyLastUsed"]["ServiceName"] == "sts", used)
    iam("UpdateAccessKey", UserName=name, AccessKeyId=first["AccessKeyId"], Status="Inactive")
    refused("InvalidClientTokenId", user.sts, "GetCallerIdentity")
    iam("UpdateAccessKey", UserName=name, AccessKeyId=first["AccessKeyId"], Status="Active")
    user.sts("GetCallerIdentity")
    wrong = client.other(first["AccessKeyId"], second["SecretAccessKey"])
    refused("SignatureDoesNotMatch", wrong.sts, "GetCallerIdentity")
    iam("DeleteAccessKey", UserName=name, AccessKeyId=first["AccessKeyId"])
    refused("InvalidClientTokenId", user.sts, "GetCallerIdentity")
    iam("DeleteAccessKey", UserName=name, AccessKeyId=second["AccessKeyId"])


def a_group_lives_and_ends(client, name):
    iam, user = client.iam, name + "-user"
    iam("CreateUser", UserName=user)
    iam("CreateGroup", GroupName=name)
    refused("EntityAlreadyExists", iam, "CreateGroup", GroupName=name)
    iam("AddUserToGroup", GroupName=name, UserName=user)
    check([one["UserName"] for one in iam("GetGroup", GroupName=name)["Users"]] == [user], "members")
    check([one["GroupName"] for one in iam("ListGroupsForUser", UserName=user)["Groups"]] == [name], "groups of the user")
    check(name in [one["GroupName"] for one in iam("ListGroups")["Groups"]], "is not listed")
    iam("PutGroupPolicy", GroupName=name, PolicyName="list", PolicyDocument=json.dumps(LIST))
    check(document(iam("GetGroupPolicy", GroupName=name, PolicyName="list")["PolicyDocument"]) == LIST, "document")
    check(iam("ListGroupPolicies", GroupName=name)["PolicyNames"] == ["list"], "inline policies")

    key = iam("CreateAccessKey", UserName=user)["AccessKey"]
    member = client.other(key["AccessKeyId"], key["SecretAccessKey"])
    member.iam("ListUsers")
    words = refused("AccessDenied", member.iam, "CreateUser", UserName="nobody")
    check(f"user/{user} is not authorized to perform: iam:CreateUser on resource: " in words, words)
    iam("RemoveUserFromGroup", GroupName=name, UserName=user)
    refused("AccessDenied", member.iam, "ListUsers")

    iam("UpdateGroup", GroupName=name, NewGroupName=name + "2")
    name += "2"
    refused("DeleteConflict", iam, "DeleteGroup", GroupName=name)
    iam("DeleteGroupPolicy", GroupName=name, PolicyName="list")
    iam("DeleteGroup", GroupName=name)
    iam("DeleteAccessKey", UserName=user, AccessKeyId=key["AccessKeyId"])
    iam("DeleteUser", UserName=user)


def a_policy_has_versions(client, name):
    iam = client.iam
    arn = iam("CreatePolicy", PolicyName=name, PolicyDocument=json.dumps(READ), Description="d")["Policy"]["Arn"]
    check(arn == f"arn:aws:iam::{serving.account}:policy/{name}", arn)
    refused("EntityAlreadyExists", iam, "CreatePolicy", PolicyName=name, PolicyDocument=json.dumps(READ))
    made = iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=json.dumps(LIST), SetAsDefault=True)["PolicyVersion"]
    check(made["VersionId"] == "v2" and made["IsDefaultVersion"], made)
    got = iam("GetPolicyVersion", PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    check(document(got["Document"]) == READ and not got["IsDefaultVersion"], got)
    refused("DeleteConflict", iam, "DeletePolicyVersion", PolicyArn=arn, VersionId="v2")
    iam("SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v1")
    check(iam("GetPolicy", PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1", "default")
    iam("DeletePolicyVersion", PolicyArn=arn, VersionId="v2")
    check([one["VersionId"] for one in iam("ListPolicyVersions", PolicyArn=arn)["Versions"]] == ["v1"], "versions")
    iam("TagPolicy", PolicyArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    iam("UntagPolicy", PolicyArn=arn, TagKeys=["a"])
    check(iam("ListPolicyTags", PolicyArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}], "tags")
    it_is_attached(client, name, arn)
    check(arn in [one["Arn"] for one in iam("ListPolicies", Scope="Local")["Policies"]], "is not listed")
    iam("DeletePolicy", PolicyArn=arn)
    refused(NO_SUCH, iam, "GetPolicy", PolicyArn=arn)


def it_is_attached(client, name, arn):
    iam = client.iam
    iam("CreateUser", UserName=name)
    iam("CreateGroup", GroupName=name)
    iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=trust(serving.account))
    for kind in ("User", "Group", "Role"):
        named = {f"{kind}Name": name}
        iam(f"Attach{kind}Policy", PolicyArn=arn, **named)
        got = iam(f"ListAttached{kind}Policies", **named)["AttachedPolicies"]
        check(got == [{"PolicyName": name, "PolicyArn": arn}], got)
    who = iam("ListEntitiesForPolicy", PolicyArn=arn)
    check([len(who[f"Policy{kind}s"]) for kind in ("User", "Group", "Role")] == [1, 1, 1], who)
    refused("DeleteConflict", iam, "DeletePolicy", PolicyArn=arn)
    for kind in ("User", "Group", "Role"):
        named = {f"{kind}Name": name}
        iam(f"Detach{kind}Policy", PolicyArn=arn, **named)
        refused(NO_SUCH, iam, f"Detach{kind}Policy", PolicyArn=arn, **named)
        iam(f"Delete{kind}", **named)


def a_role_is_assumed(client, name):
    iam, sts = client.iam, client.sts
    user = iam("CreateUser", UserName=name)["User"]
    key = iam("CreateAccessKey", UserName=name)["AccessKey"]
    person = client.other(key["AccessKeyId"], key["SecretAccessKey"])
    role = iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=trust(user["Arn"]), Path="/work/", Description="d",
               MaxSessionDuration=7200, Tags=[{"Key": "a", "Value": "1"}])["Role"]
    check(role["Arn"] == f"arn:aws:iam::{serving.account}:role/work/{name}" and role["RoleId"].startswith("AROA"), role)
    iam("PutRolePolicy", RoleName=name, PolicyName="both", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["iam:ListUsers", "iam:ListRoles"], "Resource": "*"}]}))
    check(iam("ListRolePolicies", RoleName=name)["PolicyNames"] == ["both"], "inline policies")
    iam("GetRolePolicy", RoleName=name, PolicyName="both")
    narrow = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*"}]})
    got = person.sts("AssumeRole", RoleArn=role["Arn"], RoleSessionName="now", DurationSeconds=900)
    check(got["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{serving.account}:assumed-role/{name}/now", got)
    within = client.other(*credentials(got))
    check(within.sts("GetCallerIdentity")["Arn"] == got["AssumedRoleUser"]["Arn"], "another caller")
    within.iam("ListUsers")
    refused("AccessDenied", within.iam, "ListGroups")
    less = client.other(*credentials(person.sts("AssumeRole", RoleArn=role["Arn"], RoleSessionName="less", Policy=narrow)))
    less.iam("ListRoles")
    refused("AccessDenied", less.iam, "ListUsers")
    without = client.other(got["Credentials"]["AccessKeyId"], got["Credentials"]["SecretAccessKey"], "wrong")
    refused("InvalidClientTokenId", without.sts, "GetCallerIdentity")

    iam("UpdateAssumeRolePolicy", RoleName=name, PolicyDocument=trust(f"arn:aws:iam::{serving.account}:role/other"))
    refused("AccessDenied", person.sts, "AssumeRole", RoleArn=role["Arn"], RoleSessionName="now")
    iam("UpdateRole", RoleName=name, Description="e", MaxSessionDuration=3600)
    check(iam("UpdateRoleDescription", RoleName=name, Description="f")["Role"]["Description"] == "f", "description")
    got = iam("GetRole", RoleName=name)["Role"]
    check(got["MaxSessionDuration"] == 3600, "duration")
    check(got["RoleLastUsed"]["Region"] == "us-east-1" and got["RoleLastUsed"]["LastUsedDate"], got)
    check(name in [one["RoleName"] for one in iam("ListRoles", PathPrefix="/work/")["Roles"]], "is not listed")
    iam("TagRole", RoleName=name, Tags=[{"Key": "b", "Value": "2"}])
    iam("UntagRole", RoleName=name, TagKeys=["a"])
    check(iam("ListRoleTags", RoleName=name)["Tags"] == [{"Key": "b", "Value": "2"}], "tags")
    iam("DeleteRolePolicy", RoleName=name, PolicyName="both")
    iam("DeleteRole", RoleName=name)
    token = sts("GetSessionToken", DurationSeconds=900)
    check(client.other(*credentials(token)).sts("GetCallerIdentity")["Account"] == serving.account, "session token")
    check(sts("GetAccessKeyInfo", AccessKeyId=key["AccessKeyId"])["Account"] == serving.account, "access key info")
    iam("DeleteAccessKey", UserName=name, AccessKeyId=key["AccessKeyId"])
    iam("DeleteUser", UserName=name)


def credentials(answer):
    made = answer["Credentials"]
    return made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]


def policies_are_simulated(client, name):
    iam = client.iam
    arn = iam("CreateUser", UserName=name)["User"]["Arn"]
    own = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "rds:*", "Resource": "*", "Condition": {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}},
        {"Effect": "Deny", "Action": "rds:DeleteDBCluster", "Resource": "*"}]}
    iam("PutUserPolicy", UserName=name, PolicyName="own", PolicyDocument=json.dumps(own))
    context = [{"ContextKeyName": "aws:RequestedRegion", "ContextKeyValues": ["us-east-1"], "ContextKeyType": "string"}]
    got = iam("SimulatePrincipalPolicy", PolicySourceArn=arn, ContextEntries=context,
              ActionNames=["rds:BacktrackDBCluster", "rds:DeleteDBCluster", "iam:GetUser"])["EvaluationResults"]
    check([one["EvalDecision"] for one in got] == ["allowed", "explicitDeny", "implicitDeny"], got)
    got = iam("SimulateCustomPolicy", PolicyInputList=[json.dumps(own)], ActionNames=["rds:StopDBCluster"],
              ContextEntries=context)["EvaluationResults"]
    check(got[0]["EvalDecision"] == "allowed", got)
    for answer in (iam("GetContextKeysForCustomPolicy", PolicyInputList=[json.dumps(own)]),
                   iam("GetContextKeysForPrincipalPolicy", PolicySourceArn=arn)):
        check(answer["ContextKeyNames"] == ["aws:RequestedRegion"], answer)
    iam("DeleteUserPolicy", UserName=name, PolicyName="own")
    iam("DeleteUser", UserName=name)


def a_boundary_bounds(client, name):
    iam = client.iam
    iam("CreateUser", UserName=name)
    iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=trust(serving.account))
    arn = iam("CreatePolicy", PolicyName=name, PolicyDocument=json.dumps(LIST))["Policy"]["Arn"]
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam("PutUserPolicy", UserName=name, PolicyName="all", PolicyDocument=json.dumps(everything))
    key = iam("CreateAccessKey", UserName=name)["AccessKey"]
    user = client.other(key["AccessKeyId"], key["SecretAccessKey"])
    user.iam("GetUser", UserName=name)
    for kind in ("User", "Role"):
        iam(f"Put{kind}PermissionsBoundary", PermissionsBoundary=arn, **{f"{kind}Name": name})
        got = iam(f"Get{kind}", **{f"{kind}Name": name})[kind]
        check(got["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn, got)
    user.iam("ListUsers")
    refused("AccessDenied", user.iam, "GetUser", UserName=name)
    for kind in ("User", "Role"):
        iam(f"Delete{kind}PermissionsBoundary", **{f"{kind}Name": name})
    federated = user.sts("GetFederationToken", Name="someone", Policy=json.dumps(LIST))
    someone = client.other(*credentials(federated))
    someone.iam("ListUsers")
    refused("AccessDenied", someone.iam, "GetUser", UserName=name)
    iam("DeleteAccessKey", UserName=name, AccessKeyId=key["AccessKeyId"])
    iam("DeleteUserPolicy", UserName=name, PolicyName="all")
    for kind in ("User", "Role"):
        iam(f"Delete{kind}", **{f"{kind}Name": name})
    iam("DeletePolicy", PolicyArn=arn)


def the_account_tells_of_itself(client, name):
    iam = client.iam
    iam("CreateAccountAlias", AccountAlias=name.lower())
    check(iam("ListAccountAliases")["AccountAliases"] == [name.lower()], "alias")
    iam("DeleteAccountAlias", AccountAlias=name.lower())
    refused(NO_SUCH, iam, "GetAccountPasswordPolicy")
    iam("UpdateAccountPasswordPolicy", MinimumPasswordLength=12, RequireNumbers=True)
    policy = iam("GetAccountPasswordPolicy")["PasswordPolicy"]
    check(policy["MinimumPasswordLength"] == 12 and policy["RequireNumbers"] and not policy["RequireSymbols"], policy)
    iam("DeleteAccountPasswordPolicy")
    summary = iam("GetAccountSummary")["SummaryMap"]
    check(summary["Users"] == 0 and summary["AccessKeysPerUserQuota"] == 2, summary)
    details = iam("GetAccountAuthorizationDetails")
    check(details["UserDetailList"] == [], details)
    shipped = {one["PolicyName"]: one["Arn"] for one in iam("ListPolicies", Scope="AWS")["Policies"]}
    check(shipped.keys() >= {"UnspillOperator", "UnspillArchitect", "UnspillAuditor"}, shipped)


def each_operation_of_iam_and_sts_is_answered_to_boto3_and_to_aws():
    for client in serving.clients():
        for life in (a_user_lives_and_ends, a_group_lives_and_ends, a_policy_has_versions, a_role_is_assumed,
                     policies_are_simulated, a_boundary_bounds, the_account_tells_of_itself):
            try:
                life(client, f"{client.title}-{life.__name__[:11].replace('_', '-')}")
            except Exception as error:
                raise AssertionError(f"{client.title}: {life.__name__.replace('_', ' ')}") from error
    answered = {name for name in serving.operations() if name.split(":")[0] in ("iam", "sts")}
    for kind in BOTH:
        check(answered <= kind.called, f"{kind.title} was never asked: {', '.join(sorted(answered - kind.called))}")


def long_lists_come_in_pages():
    for client in serving.clients():
        names = [f"page-{number:02}" for number in range(12)]
        for name in names:
            client.iam("CreateUser", UserName=name)
        seen, marker = [], {}
        while True:
            page = client.iam("ListUsers", MaxItems=5, **marker)
            check(len(page["Users"]) <= 5, page)
            seen += [user["UserName"] for user in page["Users"]]
            if not page.get("IsTruncated"):
                break
            marker = {"Marker": page["Marker"]}
        check(sorted(seen) == names, seen)
        for name in names:
            client.iam("DeleteUser", UserName=name)


def what_was_said_is_there_after_kill_9():
    root = serving.client(Boto3)
    root.iam("CreateUser", UserName="stays")
    key = root.iam("CreateAccessKey", UserName="stays")["AccessKey"]
    serving.kill()
    serving.start()
    user = serving.client(Boto3).other(key["AccessKeyId"], key["SecretAccessKey"])
    check(user.sts("GetCallerIdentity")["Arn"].endswith("user/stays"), "another caller")
    serving.client(Boto3).iam("DeleteAccessKey", UserName="stays", AccessKeyId=key["AccessKeyId"])
    serving.client(Boto3).iam("DeleteUser", UserName="stays")


def no_secret_is_in_any_log_or_file():
    root = serving.client(CommandLine)
    root.iam("CreateUser", UserName="secret")
    key = root.iam("CreateAccessKey", UserName="secret")["AccessKey"]
    session = root.sts("GetSessionToken")["Credentials"]
    refused("InvalidClientTokenId", root.other("AKIAXXXXXXXXXXXXXXXX", "x").sts, "GetCallerIdentity")
    serving.stop()
    secrets = [serving.secret, key["SecretAccessKey"], session["SecretAccessKey"], session["SessionToken"]]
    for folder, _, names in os.walk(serving.home):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    data = file.read()
                check(not any(secret.encode() in data for secret in secrets), f"a secret is in {path}")
    check(not any(secret in serving.log() for secret in secrets[1:]), "a secret is in the log")


main(
    serve_starts_and_shows_its_key_once, each_operation_of_iam_and_sts_is_answered_to_boto3_and_to_aws, long_lists_come_in_pages,
    what_was_said_is_there_after_kill_9, no_secret_is_in_any_log_or_file,
)
