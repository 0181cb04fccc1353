"""The top level, and what every run chooses from."""

from hydra_zen import builds, store
from models.line import fit_line

from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.experiments import DerivaMLConfig, create_model_config, multirun_config, with_description

deriva = store(group="deriva_ml")
deriva(
    DerivaMLConfig, name="default_deriva", hostname="embedded", catalog_id="1", zen_meta={"description": "test catalog"}
)

store([], group="datasets", name="default_dataset")
store(with_description([], "no assets"), group="assets", name="default_asset")
store(
    builds(Workflow, name="Fit a line", workflow_type=["Training"], description="d", populate_full_signature=True),
    group="workflow",
    name="default_workflow",
)

model = store(group="model_config")
Line = builds(fit_line, populate_full_signature=True, zen_partial=True, zen_meta={"description": "two epochs"})
model(Line, name="default_model")
model(Line, name="quick", epochs=1)

ModelConfig = create_model_config(description="Fit a line")
store(ModelConfig, name="deriva_model")
multirun_config("slopes", ["model_config.slope=1,2"], "It's a sweep:\nslopes 1 and 2, a=b")
