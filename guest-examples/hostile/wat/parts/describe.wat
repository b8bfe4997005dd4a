  ;; (ptr, len) of the manifest, at 16
  (data (i32.const 1024) "{\"id\":\"{{id}}\",\"version\":\"1.0.0\",\"description\":\"attacks the host\"}")
  (func (export "weir:plugin/lifecycle@0.1.0#describe") (result i32)
    (i32.store (i32.const 16) (i32.const 1024))
    (i32.store (i32.const 20) (i32.const {{manifest_len}}))
    (i32.const 16))
