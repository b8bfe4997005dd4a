  (func (export "weir:plugin/lifecycle@0.1.0#stop"))
