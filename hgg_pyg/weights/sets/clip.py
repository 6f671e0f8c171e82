"""The clip on which this project shows a real person: four cameras, from the demo of Pose2Sim."""

from __future__ import annotations

from pathlib import Path

from hgg_pyg.weights.fetchable import Fetchable, Source, same_bytes

FOLDER = Path("captures") / "balancing_clip"
_DEMO = "Pose2Sim/Demo_SinglePerson"
_LICENCE = "LICENSE"
_BY_FOLDER = {
    "calibration": {
        "Calib.qca.txt": "fd90e4bbae3278ef1dc0cdd42a34ee06bf88286f628a02c00a29407aa39e34c5",
    },
    "calibration/extrinsics": {
        "cam01_ext.png": "0d366398af070147adc52f3bdac85c20720774bda04d08707504e194f98e0540",
        "cam02_ext.png": "caeadb85e619f65cb7151598f229857038a8a5fa5df624f53e1534d0e0f6fefc",
        "cam03_ext.png": "9ce5e11e6a87cc1573ca29d6ce82c165b9f7d56419723d602b9ad4c1bf601369",
        "cam04_ext.png": "42e3a4dc3f2e18c67697c1579962540aaa9f1b19b6cd79769c005dd726f7559c",
    },
    "calibration/intrinsics/int_cam01_img": {
        "cam01_01_int.jpg": "209fcd011aac687b09ec18dc6220218e0027e6e1cdc6c65e8ef3dd84484636b0",
        "cam01_02_int.jpg": "f27cc818ef18cf1e36633b522614844a0e26e6981710d72d0a6c041836bc9caf",
        "cam01_03_int.jpg": "0256874657462289524f5af5a496e413d85ecda4496f22cb271f784da6939371",
        "cam01_04_int.jpg": "7ebe0a89b95bbc9e5cf19d9dfdb8c5bd0e6e60a5d4dbdedd322995f5e4550db6",
        "cam01_05_int.jpg": "760b4aa8c19c4132ff30a35b26db92374859795f3464789598f5077d93ee13d0",
        "cam01_06_int.jpg": "f81f35262c7c5ea84f275c53e841759499bb666e34dea353ad657751d4f7d248",
        "cam01_07_int.jpg": "acb4ae693d82ce1548e9f3b32a2c67e803d5084c9f83a248eba19354b3341c28",
    },
    "calibration/intrinsics/int_cam02_img": {
        "cam02_01_int.jpg": "9f5afc5f8cd26ea7e89b06bce89290eae39ff99fb1ed961ef696abd362b9cb36",
        "cam02_02_int.jpg": "1affcd482ad2964b0c65322baf43df1886cb99bbe91ee823727413ede1d8051f",
        "cam02_03_int.jpg": "29733426b828ae9e0765d839f7ff483b96bd112405270b773ed4527e9df6d9a1",
        "cam02_04_int.jpg": "67cf6e4f441eed049d1f6435d384832d58a2da8343286c2b82572ae2533e8e9e",
        "cam02_05_int.jpg": "078b724fa8ac3d706e2b2dc0194a94acdfaeb244099ca544033000879b9d4d8c",
        "cam02_06_int.jpg": "998161a5bd1d7c8275fac80feb43c3c65d00e433e20152c5f1e41f5e1ccfa0a2",
        "cam02_07_int.jpg": "81c34d19a4efc2baeed799e648a95884e11af8a558c6863d24e8123b90fcebf1",
    },
    "calibration/intrinsics/int_cam03_img": {
        "cam03_01_int.jpg": "b3243ebfbeac3ac4704aa6d0803324e4806886f24a8b639fa17e28bf703f7ece",
        "cam03_02_int.jpg": "e67affe9fa749a7e6be6da38f84a097d1908dfe3870b0f5429ed2a1271a75e7c",
        "cam03_03_int.jpg": "03b52dd63915f69c80b0c460b0e43f7c666a32d6a7c7f0a131dd0852ba91e381",
        "cam03_04_int.jpg": "cdafb8870ab4080d8b70fa246767e6c06dfefc959ed3f7342dd1163b0a82ac9b",
        "cam03_05_int.jpg": "47c915f7d46d052898d07d51554689fdb4f05b4d4d6bcc9b6cd8dcb361154d68",
        "cam03_06_int.jpg": "d2cd3e9f85a0939b925071e14905246c3112da5fa42906a7d7a7a681bdd7d8c9",
        "cam03_07_int.jpg": "d4d26e88a9f7529f24164f0f571bdf55b1c89d1b5ed7b341df58ac9b34bfd706",
    },
    "calibration/intrinsics/int_cam04_img": {
        "cam04_01_int.jpg": "ffded5a73ee970e377e89f0004611c2377eecaa056a6cbd6407e79371fdb0330",
        "cam04_02_int.jpg": "de6a9e7e557e04846be83462851a33acaef766feda0f8060eafcee07f2d5f8d3",
        "cam04_03_int.jpg": "15bd86d07ec08b8ad3e904986464ad01d187e3ded797282e2d9d9168a69ef079",
        "cam04_04_int.jpg": "dca168dbacd4122a0ca4fb62633b1c560f7b70723a8a706a4927cf517cb62689",
        "cam04_05_int.jpg": "3f84a281687a9ab25d356655854dbd06397dcea542d760397331277bc68ee90e",
        "cam04_06_int.jpg": "5c680eed1899f03c5533bbb960d34df262b692a4313d0a6accd55bcf53ba3488",
        "cam04_07_int.jpg": "f72e9e4bf989e29b3b06e2f36cb6ee3d80072ea05b9a111e2b33bfb686a76a58",
    },
    "videos": {
        "cam01.mp4": "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a",
        "cam02.mp4": "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442",
        "cam03.mp4": "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca",
        "cam04.mp4": "b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7",
    },
    "": {
        "LICENSE": "7f8a9ede713463b96d261a39c3ec404748c8e4f528c795e5f8cb18898ed944cf",
    },
}
_CHECKSUMS = {
    f"{folder}/{name}" if folder else name: checksum
    for folder, files in _BY_FOLDER.items()
    for name, checksum in files.items()
}

FETCHABLE = Fetchable(
    name="clip",
    summary="four videos of a man on a beam, with their calibration",
    source=Source(
        distribution="pose2sim",
        version="0.10.49",
        file="pose2sim-0.10.49-py3-none-any.whl",
        sha256="403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1",
        size=51_189_031,
    ),
    licence="BSD-3-Clause, the authors of Pose2Sim; see LICENSE beside the videos",
    members={
        name: "pose2sim-0.10.49.dist-info/licenses/LICENSE" if name == _LICENCE else f"{_DEMO}/{name}"
        for name in _CHECKSUMS
    },
    folder=lambda: FOLDER,
    wrong=same_bytes(_CHECKSUMS),
)
