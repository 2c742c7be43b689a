"""What a tool does that looks for resources through QRMI, instead of being given them."""

import os

from qrmi import ResourceProvider, ResourceType

wanted = {name: value for name, value in os.environ.items() if name.startswith("QRMI_IBM_QCS_")}
provider = ResourceProvider(ResourceType.IBMQuantumComputeService, wanted)
print("all", *sorted(found.resource_id() for found in provider.resources()))
print("wide", *(found.resource_id() for found in provider.resources("num_qubits=100&status=online")))
print("named", *(found.resource_id() for found in provider.resources("name=*_manila")))
print("least_busy", provider.least_busy("max_shots=1000").resource_id())
