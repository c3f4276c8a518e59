"""The device record and the doctor, on made trees and on this machine."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgesplit.bundle.bundle import Bundle
from edgesplit.cli import main
from edgesplit.errors import (
    BackendError,
    EngineError,
    IsolatedProcessError,
    MissingExtraError,
)
from edgesplit.runtime.backends.engines import Platform
from edgesplit.runtime.device.doctor import Checkup, Finding, examine
from edgesplit.runtime.device.packages import PackageOrigin
from edgesplit.runtime.device.probes import Probes, Speed
from edgesplit.runtime.device.record import describe_device, find_file_system, read_temperatures

CAPTURED = Path(__file__).parents[1] / "data" / "jetson"
NANO_MODES = (
    "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n"
    "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< POWER_MODEL ID=3 NAME=7W >\n"
)
EXT4 = "27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"


def make_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    """An Orin Nano Super on JetPack 6.2.1, in mode 0, which is not its fastest."""
    cpu = "sys/devices/system/cpu/cpu0/cpufreq/scaling"
    return make_tree(
        tmp_path / "nano",
        {
            "etc/nv_tegra_release": (CAPTURED / "nv_tegra_release_36.4.7.txt").read_text(),
            "etc/nvpmodel.conf": NANO_MODES,
            "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
            "proc/cpuinfo": "".join(f"processor\t: {n}\nCPU part\t: 0xd42\n" for n in range(6)),
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit Super\0",
            "proc/meminfo": "MemTotal:  7800000 kB\nMemAvailable:  5000000 kB\n",
            "proc/self/mountinfo": EXT4,
            f"{cpu}_governor": "schedutil\n",
            f"{cpu}_min_freq": "729600\n",
            f"{cpu}_max_freq": "1728000\n",
            f"{cpu}_cur_freq": "806400\n",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "51250\n",
            "sys/class/thermal/thermal_zone1/type": "cv0-thermal\n",
            "sys/class/thermal/thermal_zone1/temp": "-256000\n",
            "sys/class/thermal/thermal_zone2/type": "asleep\n",
            "sys/class/hwmon/hwmon1/oc1_event_cnt": "0\n",
            "sys/class/hwmon/hwmon1/oc3_event_cnt": "4\n",
            "dev/video0": "",
            "run/systemd/timesync/synchronized": "",
        },
    )


def nvpmodel(command: Sequence[str]) -> str | None:
    assert list(command) == ["nvpmodel", "-q"]
    return (CAPTURED / "nvpmodel_nano.txt").read_text()


class MadeProbes(Probes):
    """Answers as given, in no time."""

    def __init__(
        self,
        origin: PackageOrigin | None = None,
        **answers: str | Platform | Exception | dict[str, str],
    ) -> None:
        self.answers = answers
        self.origin = origin

    def providers(self) -> dict[str, str]:
        answer = self.answers.get("providers", {"CPUExecutionProvider": ""})
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, dict)
        return answer

    def tensorrt(self) -> Platform:
        answer = self.answers.get("tensorrt", BackendError("This machine has no CUDA device."))
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Platform)
        return answer

    def tensorrt_origin(self) -> PackageOrigin | None:
        return self.origin

    def speed(self, path: Path | None) -> Speed:
        return Speed("A made network", "a made backend", 12.0, 14.0, 0.1, 20)

    def codecs(self) -> tuple[str, ...]:
        return ("h264", "hevc", "vp9", "av1", "mjpeg")

    def may_use(self, node: Path) -> bool:
        return "camera" not in self.answers


def of(checkup: Checkup, topic: str) -> list[Finding]:
    return [finding for finding in checkup.findings if finding.topic == topic]


def test_record_of_an_orin_nano(nano: Path) -> None:
    device = describe_device(nano, nvpmodel)
    assert device.model == "NVIDIA Jetson Orin Nano Developer Kit Super"
    assert (device.cores, device.l4t, device.jetpack) == (6, "36.4.7", "6.2.1")
    assert (device.governors, device.mhz) == (("schedutil",), (729.6, 1728.0, 806.4))
    assert device.temperatures_c == {"cpu-thermal": 51.25}  # the others are off or asleep
    assert device.throttle_events == 4
    assert device.power_mode is not None
    assert device.power_mode.name == "15W"
    assert json.loads(json.dumps(asdict(device)))["power_modes"][2] == {
        "name": "MAXN_SUPER",
        "id": 2,
    }


def test_an_empty_tree_is_a_record_of_nothing(tmp_path: Path) -> None:
    device = describe_device(tmp_path, nvpmodel)  # which is not asked: this is no Jetson
    assert (device.memory_bytes, device.mhz, device.l4t, device.power_mode) == (None,) * 4
    assert read_temperatures(tmp_path) == {}


@pytest.mark.parametrize(
    ("files", "cores", "memory"),
    [
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/memory.max": "2000000000\n",
            },
            1.5,
            2_000_000_000,
        ),
        (
            {
                "proc/self/cgroup": "0::/a.slice/b\n",  # a parent's limit counts as well
                "sys/fs/cgroup/a.slice/memory.max": "1000000000\n",
                "sys/fs/cgroup/a.slice/b/memory.max": "max\n",
                "sys/fs/cgroup/a.slice/b/cpu.max": "max 100000\n",
            },
            None,
            1_000_000_000,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/docker/x\n1:cpu,cpuacct:/docker/x\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            0.5,
            3_000_000_000,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n1:cpu:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
            None,
        ),
    ],
    ids=["version 2", "a parent's", "version 1", "no limit"],
)
def test_limits_of_a_container(
    tmp_path: Path, files: dict[str, str], cores: float | None, memory: int | None
) -> None:
    host = {"proc/meminfo": "MemTotal: 8000000 kB\n", "proc/cpuinfo": "processor : 0\n" * 4}
    root = make_tree(tmp_path, {**host, **files})
    device = describe_device(root, nvpmodel)
    assert (device.cpu_limit, device.memory_limit_bytes) == (cores, memory)
    text = of(examine(root=root, run=nvpmodel, probes=MadeProbes()), "memory")[0].text
    assert ("This container is limited to" in text) == (cores is not None or memory is not None)


@pytest.mark.parametrize(
    ("mount", "status", "words"),
    [
        ("- ext4 /dev/root rw", "fine", "edits survive a power loss"),
        ("- overlay overlay rw", "note", "edits are lost with it"),
        ("- tmpfs tmpfs rw", "note", "lost when the machine stops"),
        ("- nfs4 host:/x rw", "note", "may not reach other hosts"),
        ("- vfat /dev/sda1 rw", "note", "no journal"),
    ],
)
def test_what_the_file_system_means(
    bundle: Bundle, tmp_path: Path, mount: str, status: str, words: str
) -> None:
    place = str(bundle.path.parent).replace(" ", "\\040")
    table = f"{EXT4}28 27 0:5 / {place} rw,noatime {mount}\n"
    root = make_tree(tmp_path / "tree", {"proc/self/mountinfo": table})
    (found,) = of(examine(bundle.path, root=root, run=nvpmodel, probes=MadeProbes()), "disk")
    assert found.status == status
    assert words in found.text


def test_a_later_mount_hides_an_earlier_one_and_blanks_are_read(tmp_path: Path) -> None:
    lines = (
        "1 0 8:1 / / rw - ext4 d rw\n2 1 0:1 / /my\\040disk rw - vfat d rw\n"
        "3 2 0:2 / /my\\040disk ro,noatime - nfs d rw\n4 1 0:3 / /my rw - tmpfs d rw\ntorn\n"
    )
    root = make_tree(tmp_path, {"proc/self/mountinfo": lines})
    place = find_file_system(Path("/my disk/lab.bundle"), root)
    assert place is not None
    assert (place.kind, place.mount, place.read_only) == ("nfs", "/my disk", True)


def test_doctor_of_an_orin_nano_names_the_mode_that_the_board_has(nano: Path) -> None:
    here = Platform(tensorrt="tensorrt 10.3.0", cuda="12.6", gpu="Orin sm87")
    checkup = examine(root=nano, run=nvpmodel, probes=MadeProbes(tensorrt=here, camera="closed"))
    (power,) = of(checkup, "power")
    assert "15W" in power.text
    assert power.todo.startswith("Set MAXN_SUPER")
    assert "sudo nvpmodel -m 2;" in power.todo
    assert "jetson_clocks" in of(checkup, "clocks")[0].todo
    assert "group" not in of(checkup, "camera")[0].text
    assert "usermod -aG video" in of(checkup, "camera")[0].todo
    assert [one.status for one in of(checkup, "heat")] == ["note", "fine"]
    assert "Orin sm87" in of(checkup, "TensorRT")[0].text
    assert "JetPack 6.2.1" in of(checkup, "device")[0].text
    assert checkup.usable


def test_doctor_says_which_tensorrt_it_is(nano: Path) -> None:
    origin = PackageOrigin("tensorrt", "10.3.0", "system", Path("/usr/lib/python3/x/tensorrt"))
    checkup = examine(root=nano, run=nvpmodel, probes=MadeProbes(origin=origin))
    (found,) = of(checkup, "TensorRT")
    wanted = "Python imports tensorrt 10.3.0, the system's, /usr/lib/python3/x/tensorrt."
    assert (found.status, found.text) == ("fine", wanted)


def test_the_highest_mode_needs_no_advice(nano: Path) -> None:
    super_mode = (CAPTURED / "nvpmodel_super.txt").read_text()
    (power,) = of(examine(root=nano, run=lambda _: super_mode, probes=MadeProbes()), "power")
    assert (power.status, power.todo) == ("fine", "")


def test_doctor_of_a_thor_whose_nvpmodel_does_not_answer(tmp_path: Path) -> None:
    release = "# R38 (release), REVISION: 4.0, GCID: 1, BOARD: generic, EABI: aarch64\n"
    model = "NVIDIA Jetson AGX Thor Developer Kit\0"
    tree = {"etc/nv_tegra_release": release, "proc/device-tree/model": model}
    checkup = examine(
        root=make_tree(tmp_path, tree),
        run=lambda _: None,
        probes=MadeProbes(tensorrt=MissingExtraError("tensorrt cannot be imported.")),
    )
    assert "Thor" in of(checkup, "device")[0].text
    assert "JetPack 7.1" in of(checkup, "device")[0].text
    assert of(checkup, "power")[0].status == "note"
    assert of(checkup, "TensorRT")[0].status == "note"


@pytest.mark.parametrize(
    ("answer", "topic", "words"),
    [
        (BackendError("No CUDA device."), "GPU", "no usable GPU; the backbone runs on the CPU"),
        (EngineError("It is damaged."), "TensorRT", "does not start: It is damaged."),
        (IsolatedProcessError("Killed (signal 11)."), "TensorRT", "does not start: Killed (sig"),
        (MissingExtraError("pip install x"), "TensorRT", "a package is missing: pip install x"),
    ],
)
def test_what_keeps_tensorrt_from_running_is_told_apart(
    tmp_path: Path, answer: Exception, topic: str, words: str
) -> None:
    checkup = examine(root=tmp_path, run=nvpmodel, probes=MadeProbes(tensorrt=answer))
    (found,) = of(checkup, topic)
    assert words in found.text
    assert checkup.usable


def test_a_provider_that_only_says_that_it_is_there_is_told(tmp_path: Path) -> None:
    reason = "libcublas.so.13 is missing"
    probes = MadeProbes(providers={"CUDAExecutionProvider": reason, "CPUExecutionProvider": ""})
    works, lists = of(examine(root=tmp_path, run=nvpmodel, probes=probes), "ONNX Runtime")
    assert "CUDA" not in works.text
    assert reason in lists.text
    assert lists.status == "note"


@pytest.mark.parametrize(
    "answer",
    [MissingExtraError("It cannot be imported."), IsolatedProcessError("Killed (signal 11).")],
)
def test_without_onnx_runtime_edgesplit_is_unusable(tmp_path: Path, answer: Exception) -> None:
    probes = MadeProbes(providers=answer)
    checkup = examine(root=tmp_path, run=nvpmodel, probes=probes)
    assert not checkup.usable
    assert checkup.speed is None


def test_an_unreadable_bundle_is_a_problem_and_none_is_not(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "..")
    probes = MadeProbes()
    assert examine(root=tmp_path, run=nvpmodel, probes=probes).usable
    (bundle.path / "bundle.json").write_text("{")
    checkup = examine(bundle.path, root=tmp_path, run=nvpmodel, probes=probes)
    assert not checkup.usable
    assert of(checkup, "bundle")[0].status == "problem"


def test_doctor_on_this_machine(bundle: Bundle) -> None:
    # The real probes: four processes, three seconds.
    arguments = ["doctor", "--bundle", str(bundle.path)]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["providers"]["CPUExecutionProvider"] == ""
    assert "AzureExecutionProvider" not in said["providers"]
    assert said["speed"]["what"] == "The bundle's backbone"
    assert said["speed"]["slow_ms"] >= said["speed"]["backbone_ms"] > 0
    topics = {finding["topic"] for finding in said["findings"]}
    assert {"device", "ONNX Runtime", "speed", "video", "camera", "bundle", "cache"} <= topics


def test_doctor_says_in_words_what_is_wrong_with_a_bundle(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", "--bundle", str(tmp_path / "nowhere")])
    assert result.exit_code == 1
    assert "problem  bundle" in result.stdout
    assert "3-D convolutions" in result.stdout  # how fast it would be, all the same
