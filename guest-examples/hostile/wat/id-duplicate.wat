;; Has the id of another plugin, `ok`.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (data (i32.const 1024) "{\"id\":\"ok\",\"version\":\"6.6.6\"}")
  (func (export "weir:plugin/lifecycle@0.1.0#describe") (result i32)
    (i32.store (i32.const 16) (i32.const 1024))
    (i32.store (i32.const 20) (i32.const 29))
    (i32.const 16))
)
