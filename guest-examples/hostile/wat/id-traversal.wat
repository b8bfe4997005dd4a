;; Has an id that would lead out of a folder.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (data (i32.const 1024) "{\"id\":\"../../escaped\",\"version\":\"1.0.0\"}")
  (func (export "weir:plugin/lifecycle@0.1.0#describe") (result i32)
    (i32.store (i32.const 16) (i32.const 1024))
    (i32.store (i32.const 20) (i32.const 40))
    (i32.const 16))
)
