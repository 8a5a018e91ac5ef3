"""A pod whose main container is a tool that knows nothing of people, with the gate before it.

The tool gets no token and none of JupyterHub's variables: only the gate does.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping

from petrihub_core.deployment import Deployment, Profile
from petrihub_core.errors import Refused, Unavailable, Unsupported
from petrihub_core.records import WorkspaceImage
from petrihub_core.tools import SIDECARS_IMAGE, ToolSection, combined, labelled_tool
from petrihub_spawner.pod.model import Container, Door, PodRef, Resources

GATE = "gate"
GATE_VARIABLE = "PETRIHUB_GATE"
_HEALTH = "petrihub-gate/health"
_KEYS = "http://127.0.0.1:8889/.well-known/jwks.json"  # where the gate serves its public key
_TAKEN = (8888, 8889)  # the gate's own ports
_RESTARTS = 3  # of a tool that failed; then the workspace has ended, with the reason
_LIMITS = Resources(cpu=1, memory_bytes=256 * 2**20, pids=64)


def tool_of(profile: Profile, images: Mapping[str, WorkspaceImage]) -> ToolSection | None:
    """The tool that this profile runs; None if it runs JupyterLab. Raises `Refused` in words."""
    image = images.get(profile.image)
    tool = combined(profile.tool, labelled_tool(image.labels) if image else None)
    if tool is None or image is None:
        return tool
    if tool.port is None:
        raise Refused(
            f"Nothing says at which port the tool of {profile.title!r} answers.",
            hint="Ask the administrator to set it in the profile or in the image's labels.",
        )
    if tool.port in _TAKEN:
        raise Refused(
            f"The tool of {profile.title!r} wants port {tool.port}, which our sign-in uses.",
            hint="Ask the administrator to have it answer at another port.",
        )
    return tool


def tool_icon(profile: Profile, images: Mapping[str, WorkspaceImage]) -> str:
    """The name of the tool's icon; empty if it has none, or is no tool."""
    try:
        tool = tool_of(profile, images)
    except Refused:
        return ""
    return tool.icon if tool is not None else ""


def tool_problem(profile: Profile, images: Mapping[str, WorkspaceImage]) -> str:
    """Why this profile's tool cannot be started; empty if it can, or if there is none."""
    try:
        tool = tool_of(profile, images)
    except Refused as exc:
        return exc.message
    if tool is not None and SIDECARS_IMAGE not in images:
        return f"The image {SIDECARS_IMAGE} is not built yet."
    return ""


def refuse_as_process(deployment: Deployment, profile: Profile) -> None:
    """Raise `Unsupported` in words for a tool where there are no containers."""
    if problem := process_problem(deployment, profile):
        raise Unsupported(
            problem, hint="Choose another profile, or ask the administrator for the Docker backend."
        )


def process_problem(deployment: Deployment, profile: Profile) -> str:
    """Why this profile cannot run as a process of this machine; empty if it can."""
    if profile.tool is None or deployment.backend != "local":
        return ""
    return (
        "This tool runs in a container of its own, and this PetriHub runs workspaces as processes."
    )


def tool_container(
    tool: ToolSection, image: str, base_url: str, ref: PodRef, resources: Resources
) -> Container:
    """The main container: any image, hardened like all, without anything of the hub's."""
    home = "/home/researcher"
    return Container(
        name="main",
        image=image,
        command=tool.filled(base_url.rstrip("/")),
        environment={
            "HOME": home,
            "PETRIHUB_IDENTITY_KEYS": _KEYS,
            "PETRIHUB_IDENTITY_ISSUER": f"petrihub:{ref.deployment}",
            "PETRIHUB_IDENTITY_AUDIENCE": ref.key,
        },
        resources=resources,
        working_dir=home,
        restarts=_RESTARTS,
    )


def gate_container(
    tool: ToolSection,
    title: str,
    images: Mapping[str, WorkspaceImage],
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
) -> Container:
    """The gate, which alone has the hub's token; raises `Unavailable` if its image is not built."""
    if SIDECARS_IMAGE not in images:
        raise Unavailable(
            f"The image {SIDECARS_IMAGE} is not built yet.",
            hint="Ask the administrator to run `petrihub images build`.",
        )
    told = {
        "title": tool.title or title,
        "port": tool.port,
        "health": tool.health or "/",
        "absolute_urls": bool(tool.absolute_urls),
    }
    return Container(
        name=GATE,
        image=images[SIDECARS_IMAGE].digest,
        command=(GATE,),
        environment={**environment, GATE_VARIABLE: json.dumps(told, ensure_ascii=False)},
        secrets=secrets,
        resources=_LIMITS,
    )


def gate_door(port: int, base_url: str, token: str) -> Door:
    """The pod's door: the gate, which is ready when the tool is, and can prove that it is it."""
    proof = hmac.new(token.encode(), b"petrihub gate", hashlib.sha256).hexdigest()
    return Door(port=port, ready_path=base_url + _HEALTH, keeper=GATE, proof=proof)
