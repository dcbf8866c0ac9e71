"""The parts of the `claims` job: what runs tested, what none tested, and the document."""
