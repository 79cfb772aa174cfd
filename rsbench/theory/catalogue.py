"""Every certificate, by name."""

from types import MappingProxyType

from rsbench.theory.box_image_l1 import BoxImageL1
from rsbench.theory.box_l1 import BoxL1, BoxLogL1
from rsbench.theory.certificate import Certificate
from rsbench.theory.deterministic_l1 import DeterministicL1
from rsbench.theory.gaussian_l2 import GaussianL2
from rsbench.theory.lipschitz_l1 import LipschitzL1
from rsbench.theory.privacy_l2 import PrivacyL2
from rsbench.theory.renyi_l2 import RenyiL2

_ALL: tuple[Certificate, ...] = (
    GaussianL2(),
    PrivacyL2(),
    RenyiL2(),
    LipschitzL1(),
    BoxLogL1(),
    BoxL1(),
    BoxImageL1(),
    DeterministicL1(),
)

CERTIFICATES: MappingProxyType[str, Certificate] = MappingProxyType({c.name: c for c in _ALL})
