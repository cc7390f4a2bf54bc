"""moto's server, with an answer that it lacks and the AWS provider waits for: `python -m tests.moto_for_terraform`.

The tags of scalable targets: moto knows neither to list nor to set them, and the provider asks again and again.
"""

from __future__ import annotations

import json
import sys

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.server import main


def no_tags(self: ApplicationAutoScalingResponse) -> str:
    return json.dumps({"Tags": {}})


if __name__ == "__main__":
    ApplicationAutoScalingResponse.list_tags_for_resource = no_tags
    main(sys.argv[1:])
