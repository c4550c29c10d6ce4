package clients

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/twilio/twilio-go"
)

// AWSAdaptive is the retry loop of the AWS SDK for Go v2 in its adaptive mode. It
// is the SDK's own code with Twilio's transport below it. It has a token bucket
// whose rate is CUBIC's, and full jitter from 1 s on for a throttle. Its quota of
// retries is filled again by successes only. Its defaults hold but for the number of attempts.
// Retry-After means nothing to it: it knows AWS's own header only.
func AWSAdaptive(ctx context.Context, s Setup, retries int) *twilio.RestClient {
	return AWSLoop(ctx, s, AWSMode(retries))
}

// AWSLoop is the same loop in any mode.
func AWSLoop(ctx context.Context, s Setup, mode aws.RetryerV2) *twilio.RestClient {
	return Over(ctx, s, awsLoop{retry.NewAttemptMiddleware(mode, cloneRequest), s.Transport})
}

// AWSMode is the adaptive mode with that many retries.
func AWSMode(retries int) aws.RetryerV2 {
	return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
		o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) { o.MaxAttempts = 1 + retries })
	})
}

func cloneRequest(r any) any {
	req := r.(*http.Request)
	return req.Clone(req.Context())
}

type awsLoop struct {
	attempts *retry.Attempt
	next     http.RoundTripper
}

func (l awsLoop) RoundTrip(r *http.Request) (*http.Response, error) {
	out, _, err := l.attempts.HandleFinalize(r.Context(), middleware.FinalizeInput{Request: r}, middleware.FinalizeHandlerFunc(l.attempt))
	// The last answer is returned as it is, so that twilio-go can make its usual
	// error of it.
	var refused *smithyhttp.ResponseError
	if errors.As(err, &refused) {
		return refused.Response.Response, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Result.(*http.Response), nil
}

// attempt makes errors of answers, as the SDK's deserializers do: 429 without a
// known code is a throttle to it. It leaves bodies open: the transport has to read them.
func (l awsLoop) attempt(ctx context.Context, in middleware.FinalizeInput) (out middleware.FinalizeOutput, metadata middleware.Metadata, err error) {
	r := in.Request.(*http.Request).WithContext(ctx)
	if r.GetBody != nil {
		if r.Body, err = r.GetBody(); err != nil {
			return out, metadata, err
		}
	}
	resp, err := l.next.RoundTrip(r)
	if err != nil {
		return out, metadata, &smithyhttp.RequestSendError{Err: err}
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return out, metadata, &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: resp},
			Err:      errors.New(resp.Status),
		}
	}
	out.Result = resp
	return out, metadata, nil
}
