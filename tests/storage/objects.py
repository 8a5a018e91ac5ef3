"""A real S3 server for the tests: moto's, in an environment of its own, made on first use."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from petrihub_cli.made import made
from petrihub_core.ports import free_port

from tests.platform import INSTALLED
from tests.storage.house import listens, wait_for

VERSION = "5.2.5"
BUCKET = "files"
_CLIENT = """
import boto3, json, sys
url, key, secret, *words = sys.argv[1:]
key = {"aws_access_key_id": key, "aws_secret_access_key": secret, "region_name": "us-east-1"}
"""
# a bucket, and an account that may use it; from then on the server verifies who asks
_PREPARE = f"""{_CLIENT}
boto3.client("s3", endpoint_url=url, **key).create_bucket(Bucket=words[0])
iam = boto3.client("iam", endpoint_url=url, **key)
iam.create_user(UserName="petrihub")
made = iam.create_access_key(UserName="petrihub")["AccessKey"]
rule = {{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
policy = json.dumps({{"Version": "2012-10-17", "Statement": [rule]}})
iam.put_user_policy(UserName="petrihub", PolicyName="all", PolicyDocument=policy)
print(made["AccessKeyId"], made["SecretAccessKey"])
"""
_UNVERIFIED = 4  # those four
_READ = f"""{_CLIENT}
found = boto3.client("s3", endpoint_url=url, **key).get_object(Bucket=words[0], Key=words[1])
print(found["Body"].read().decode(), end="")
"""


def moto_server() -> Path:
    """The program; its packages would not fit beside ours."""

    def install(folder: Path) -> None:
        uv = [str(Path(sys.executable).with_name("uv"))]
        subprocess.run([*uv, "venv", "-q", "--relocatable", folder], check=True)
        python = ["--python", folder / "bin" / "python"]
        packages = [*uv, "pip", "install", "-q", *python, f"moto[s3,server]=={VERSION}"]
        subprocess.run(packages, check=True)

    return made(INSTALLED / "made", "moto", VERSION, install) / "bin" / "moto_server"


@dataclass
class ObjectStore:
    """The running server with one empty bucket; it verifies each signature."""

    host: str
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    access_key: str = "first"
    secret_key: str = "of-all"  # nothing is verified until there is an account

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def read(self, name: str) -> str:
        """What an independent client reads."""
        return self.ask(_READ, name)

    def ask(self, program: str, *words: str) -> str:
        """What a program says that uses the official client."""
        command = [moto_server().with_name("python"), "-c", program, self.url]
        account = [self.access_key, self.secret_key, BUCKET]
        done = subprocess.run([*command, *account, *words], stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)


@contextmanager
def object_store(host: str) -> Iterator[ObjectStore]:
    """A server with the bucket on this address."""
    store = ObjectStore(host)
    store.process = subprocess.Popen(
        [moto_server(), "-H", host, "-p", str(store.port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(_UNVERIFIED)},
    )
    try:
        wait_for(lambda: listens(host, store.port), "the S3 server")
        store.access_key, store.secret_key = store.ask(_PREPARE).split()
        yield store
    finally:
        store.signal(signal.SIGCONT)
        store.signal(signal.SIGTERM)
        store.process.wait(30)
