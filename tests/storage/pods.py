"""A running pod whose files are on the file server, and what is done in it."""

import json
import sys
from dataclasses import dataclass, replace
from typing import Any

import docker

from petrihub_core.carriers import StorageSection
from petrihub_core.records import WorkspaceImage
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner.carrying import KEY_VARIABLE, carried, carrier
from petrihub_spawner.compile.docker import container_name
from petrihub_spawner.pod.model import Mount, Volume, WorkspacePod

from tests.storage.house import House, Started, wait_for

PYTHON = f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
HOME = "/home/researcher"
TEAM = "/mnt/shared/team"
PUBLIC = "/mnt/public"


def planned(
    bare: WorkspacePod, person: str, storage: StorageSection, sidecars: str, group: str = ""
) -> WorkspacePod:
    """The same pod with home, public and perhaps a shared folder where the section says."""
    mounts = [Mount(volume="home", path=HOME), Mount(volume="public", path=PUBLIC, read_only=True)]
    volumes = [
        Volume(name="home", external="x", subject=person, title="Home"),
        Volume(name="public", external="x", title="Public"),
    ]
    if group:
        mounts.append(Mount(volume="shared-team", path=TEAM))
        volumes.append(Volume(name="shared-team", external="x", subject=group, title="Team"))
    kept = carried(volumes, mounts, storage)
    image = WorkspaceImage(name=SIDECARS_IMAGE, digest=sidecars, size_bytes=1, apps=[], labels={})
    helpers = carrier(kept, mounts, {SIDECARS_IMAGE: image})
    main = replace(bare.main, mounts=tuple(mounts))
    return replace(bare, main=main, volumes=kept, sidecars=helpers)


def remote_pod(
    bare: WorkspacePod, house: House, sidecars: str, started: Started, group: str = ""
) -> WorkspacePod:
    """The same pod with its files on the file server, which knows its key."""
    pod = planned(bare, started.person, house.deployment.storage, sidecars, group)
    (helper,) = pod.sidecars
    helper = replace(helper, secrets={KEY_VARIABLE: started.key})
    return replace(pod, intent=started.intent, sidecars=(helper,))


@dataclass
class Inside:
    """The main container of a running pod."""

    client: docker.APIClient
    pod: WorkspacePod
    key: Started | None = None

    def run(self, program: str, *words: str, user: str = "1000") -> tuple[int, str]:
        """What a Python program prints there, and its exit code."""
        command = [PYTHON, "-B", "-c", program, *words]
        asked = self.client.exec_create(self.pod.name, command, user=user, workdir="/")["Id"]
        said = self.client.exec_start(asked).decode(errors="replace")
        return self.client.exec_inspect(asked)["ExitCode"], said

    def good(self, program: str, *words: str) -> str:
        code, said = self.run(program, *words)
        assert code == 0, said
        return said

    def write(self, path: str, text: str) -> tuple[int, str]:
        return self.run("import sys; open(sys.argv[1], 'w').write(sys.argv[2])", path, text)

    def read(self, path: str) -> str:
        return self.good("import sys; print(open(sys.argv[1]).read(), end='')", path)

    def states(self) -> dict[str, dict[str, Any]]:
        """What the workspace is told about its mounts, by path."""
        said = json.loads(self.read("/mnt/.petrihub/mounts.json"))
        return {each["path"]: each for each in said["mounts"]}

    def until(self, state: str, path: str = HOME) -> dict[str, Any]:
        def there() -> Any:
            found = self.states()[path]
            return found if found["state"] == state else None

        found: dict[str, Any] = wait_for(there, f"{path} {state}", lambda: str(self.states()))
        return found

    @property
    def helper(self) -> str:
        carries = self.pod.carrier
        assert carries is not None
        return container_name(self.pod, carries)

    def helper_log(self) -> str:
        return str(self.client.logs(self.helper).decode())
