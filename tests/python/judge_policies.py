"""Judges IAM policies with parliament.

    judge_policies.py FILE...

Each file holds one policy. Prints one JSON object: by file, what was found, as [issue, detail] pairs. parliament knows
policies of identities only: a trust policy, which has no resource, is judged as if it stood at a role that it names.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")
import parliament  # noqa: E402


def judge(path):
    with open(path, encoding="utf-8") as file:
        policy = json.load(file)
    for statement in policy["Statement"]:
        if "Principal" in statement and "Resource" not in statement:
            statement["Resource"] = "arn:aws:iam::111122223333:role/judged"
    found = parliament.analyze_policy_string(json.dumps(policy)).findings
    return [[finding.issue, str(finding.detail)] for finding in found]


print(json.dumps({path: judge(path) for path in sys.argv[1:]}))
