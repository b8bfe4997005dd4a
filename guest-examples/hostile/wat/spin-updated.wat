;; Never comes back from being told of new valves.
;; exports: lifecycle pipe valves
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (data (i32.const 3072) "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"default\":1}}}")
  (func (export "weir:plugin/valves@0.1.0#spec") (result i32)
    (i32.store (i32.const 48) (i32.const 3072))
    (i32.store (i32.const 52) (i32.const 67))
    (i32.const 48))
  (func (export "weir:plugin/valves@0.1.0#updated") (param i32 i32) (result i32) (loop $again (br $again)) (unreachable))
)
