"""How drills, tests and benchmarks start the product and inject faults into it (`presets`, `ProductStage`)."""
