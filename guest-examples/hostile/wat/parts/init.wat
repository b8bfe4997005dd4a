  ;; ok, at 32
  (func (export "weir:plugin/lifecycle@0.1.0#init") (param i32 i32) (result i32)
    (i32.store8 (i32.const 32) (i32.const 0))
    (i32.const 32))
