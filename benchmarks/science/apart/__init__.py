"""Tables of the page whose figures are no curves of a study's runs: each module measures, keeps what it found, and draws it."""
