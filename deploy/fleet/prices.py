"""List prices, with their dates: deploy/prices.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

PRICES_FILE = Path(__file__).parents[1] / "prices.json"
Usd = Annotated[float, Field(gt=0)]


class Price(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu: str
    on_demand_an_hour: Usd
    spot_an_hour: Usd
    as_of: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
    source: str

    def cost(self, spot_hours: float, on_demand_hours: float) -> float:
        return spot_hours * self.spot_an_hour + on_demand_hours * self.on_demand_an_hour


class Prices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    why: str
    region: str
    currency: str
    instances: dict[str, Price]

    @classmethod
    def read(cls, path: Path = PRICES_FILE) -> Self:
        """Raises pydantic.ValidationError, which says what is wrong where."""
        return cls.model_validate_json(path.read_text())
