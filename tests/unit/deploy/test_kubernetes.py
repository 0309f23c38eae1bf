"""The Kubernetes manifests, by the schemas of Kubernetes and by what only this program knows."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from sqlalchemy import text

from tests.manifests import documents, loads, strings, unknown_settings, unknown_words
from worker.db import Database
from worker.schema import migrate

NO_SCHEMA = {"kustomization.yaml", "autoscaling.example.yaml"}  # kustomize's and KEDA's


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    """Where the manifests lie."""
    return repository / "deploy/kubernetes"


@pytest.fixture(scope="module")
def objects(folder: Path) -> list[dict[str, Any]]:
    """Every object of Kubernetes' own kinds."""
    return [item for path in sorted(folder.glob("*.yaml")) if path.name not in NO_SCHEMA for item in documents(path)]


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pod of each role."""
    templated = (item for item in objects if item["kind"] in {"Deployment", "Job"})
    return {pod["containers"][0]["name"]: pod for item in templated for pod in [item["spec"]["template"]["spec"]]}


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The objects of a kind."""
    return [item for item in objects if item["kind"] == kind]


def test_kubernetes_knows_every_field(objects: list[dict[str, Any]]) -> None:
    """Strictly: a field that it does not know is an error."""
    assert len(objects) >= 15
    for item in objects:
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


def test_every_manifest_is_applied_but_the_examples(folder: Path) -> None:
    """The kustomization names all there are, and no secret."""
    (kustomization,) = documents(folder / "kustomization.yaml")
    applied = set(kustomization["resources"]) | {"kustomization.yaml"}
    assert applied == {path.name for path in folder.iterdir() if ".example." not in path.name}
    images = {image["name"] for image in kustomization["images"]}
    assert {pod["image"].split(":")[0] for path in folder.glob("*.yaml") for pod in _containers(path)} == images


def test_every_pod_runs_and_asks_what_exists(objects: list[dict[str, Any]]) -> None:
    """Commands, queues, roles and settings are this version's; each is asked after its own role."""
    assert set(pods(objects)) == {"listener", "prepare", "score", "deliver", "beat", "metrics", "web", "migrate"}
    for role, pod in pods(objects).items():
        (container,) = pod["containers"]
        assert unknown_words(container["command"]) == [], role
        assert unknown_settings([variable["name"] for variable in container["env"]]) == [], role
        probes = [
            container[kind]["exec"]["command"] for kind in container if "Probe" in kind and "exec" in container[kind]
        ]
        assert [[*unknown_words(probe), probe[-1]] for probe in probes] == [[role]] * len(probes)
        assert ("livenessProbe" in container) == (role != "migrate")


def test_every_pod_is_held_short(objects: list[dict[str, Any]]) -> None:
    """No root, no capability, a root file system that cannot be written, bounded memory, no account of the cluster."""
    for role, pod in pods(objects).items():
        (container,) = pod["containers"]
        security = container["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"], role
        assert security["readOnlyRootFilesystem"], role
        assert not security["allowPrivilegeEscalation"], role
        assert security["capabilities"] == {"drop": ["ALL"]}, role
        assert "memory" in container["resources"]["limits"], role
        assert pod["automountServiceAccountToken"] is False, role


def test_what_is_mounted_and_selected_exists(objects: list[dict[str, Any]]) -> None:
    """Claims, maps and secrets have their objects; every service, budget and policy finds pods."""
    named = {(item["kind"], item["metadata"]["name"]) for item in objects}
    for pod in pods(objects).values():
        for volume in pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in named
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in of_kind(objects, "Deployment")]
    for kind, key in (("Service", None), ("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for item in of_kind(objects, kind):
            wanted = item["spec"]["selector"] if key is None else item["spec"][key]["matchLabels"]
            assert any(wanted.items() <= given.items() for given in labels), item["metadata"]["name"]


def test_only_listener_and_prepare_see_the_spool_and_only_score_has_a_gpu(objects: list[dict[str, Any]]) -> None:
    """A GPU host needs no films; the spool can be written from many nodes."""
    spool = {role for role, pod in pods(objects).items() if "cxr-triage-spool" in set(strings(pod["volumes"]))}
    assert spool == {"listener", "prepare", "metrics"}
    volumes = {volume["name"]: volume for volume in pods(objects)["metrics"]["volumes"]}
    assert volumes["spool"]["persistentVolumeClaim"]["readOnly"] is True  # how much room is left is all it looks at
    limits = {role: pod["containers"][0]["resources"]["limits"] for role, pod in pods(objects).items()}
    assert {role for role, limit in limits.items() if "nvidia.com/gpu" in limit} == {"score"}


def test_beat_is_one_and_the_caller_keeps_its_address(objects: list[dict[str, Any]]) -> None:
    """The old beat ends before the new one begins; a node without a listener takes no association."""
    beat = next(item for item in of_kind(objects, "Deployment") if item["metadata"]["name"] == "cxr-triage-beat")
    assert (beat["spec"]["replicas"], beat["spec"]["strategy"]) == (1, {"type": "Recreate"})
    dicom = next(item for item in of_kind(objects, "Service") if item["metadata"]["name"] == "cxr-triage-listener")
    assert dicom["spec"]["externalTrafficPolicy"] == "Local"


def test_the_settings_of_the_map_are_taken(objects: list[dict[str, Any]]) -> None:
    """The file that every pod reads loads, and the listener can be reached from outside its pod."""
    (settings,) = of_kind(objects, "ConfigMap")
    assert loads(settings["data"]["worker.toml"]).listener.host == "0.0.0.0"  # noqa: S104 - compared, not bound
    (secret,) = of_kind(objects, "Secret")
    assert unknown_settings(list(secret["stringData"])) == []


def test_autoscaling_counts_waiting_work_in_tables_that_exist(folder: Path, tmp_path: Path) -> None:
    """Each query runs on the schema of this version and finds nothing in it; each target is a deployment."""
    database = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    migrate(database)
    scaled = [item for item in documents(folder / "autoscaling.example.yaml") if item["kind"] == "ScaledObject"]
    for item in scaled:
        target = item["spec"]["scaleTargetRef"]["name"].removeprefix("cxr-triage-")
        assert (folder / f"{target}.yaml").exists()
        assert item["spec"]["minReplicaCount"] >= 1
        (trigger,) = item["spec"]["triggers"]
        with database.read() as session:
            assert session.scalar(text(trigger["metadata"]["query"])) == 0
        plan = _plan(database, trigger["metadata"]["query"])
        assert re.search(r"USING (COVERING )?INDEX", plan), plan
    assert len(scaled) == 2
    database.dispose()


def _plan(database: Database, query: str) -> str:
    with database.read() as session:
        return str(session.execute(text(f"EXPLAIN QUERY PLAN {query}")).all())


def _containers(path: Path) -> list[dict[str, Any]]:
    found = [item.get("spec", {}).get("template", {}).get("spec", {}) for item in documents(path)]
    return [container for pod in found for container in pod.get("containers", [])]
