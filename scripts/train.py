"""Train one network on a cache made by scripts/prepare_data.py, or go on from its last checkpoint.

scripts/train.py experiment=stage2 data.cache=CACHE/stage2 run=RUNS/stage2 data.splits=splits.json data.part=0
"""

from __future__ import annotations

import logging
import sys

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from liverseg.errors import LiverSegError, UsageError
from liverseg.training.config import RunConfig
from liverseg.training.run import train

ConfigStore.instance().store(name="run_config", node=RunConfig)


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(settings: RunConfig) -> None:
    logging.getLogger("liverseg").setLevel(logging.INFO)
    try:
        missing = sorted(OmegaConf.missing_keys(settings))
        if missing:
            raise UsageError(f"settings without a value: {', '.join(missing)}; give them as NAME=VALUE")
        config = OmegaConf.to_object(settings)
        assert isinstance(config, RunConfig)
        train(config)
    except (LiverSegError, OmegaConfBaseException) as error:
        print(f"train: {error}", file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 2)) from None


if __name__ == "__main__":
    main()
